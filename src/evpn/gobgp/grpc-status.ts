import type { IncomingHttpHeaders } from 'node:http2';

/** Status codes of gRPC (google.golang.org/grpc/codes) that are told apart. */
export const GRPC_STATUS = { ok: 0, canceled: 1, deadline: 4, unimplemented: 12, unavailable: 14 } as const;

/** A status other than OK. Its message is that of the server, one line. */
export class GrpcError extends Error {
  override name = 'GrpcError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The status in trailers, or in headers without a body. undefined: there is none. */
export function statusIn(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['grpc-status'];
  return typeof text === 'string' && /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

/** The percent-encoded message beside the status. */
export function messageIn(headers: IncomingHttpHeaders): string {
  const text = headers['grpc-message'];
  if (typeof text !== 'string' || text === '') return `gRPC status ${headers['grpc-status']}`;
  return oneLine(decode(text));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** At most 200 characters, without control characters. */
function oneLine(text: string): string {
  const line = text.replaceAll(/\p{Cc}+/gu, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}
