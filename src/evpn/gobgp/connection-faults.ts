import { connect } from 'node:tls';
import type { SpeakerAddress } from '../../config/config.ts';

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  ENOENT: 'there is no such socket',
  ENOTSOCK: 'that is not a socket',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENETUNREACH: 'the network is unreachable',
  EHOSTUNREACH: 'the host is unreachable',
  ETIMEDOUT: 'the connection timed out',
  ENOTFOUND: 'the name is unknown',
  EAI_AGAIN: 'the name cannot be resolved now',
  // Of nghttp2: a frame that HTTP/2 does not have.
  ERR_HTTP2_ERROR: 'it does not speak HTTP/2',
  ERR_HTTP2_SESSION_ERROR: 'it ends the connection',
  ERR_HTTP2_STREAM_ERROR: 'it aborted a request',
  ERR_STREAM_PREMATURE_CLOSE: 'it aborted a request',
};

/** One line without the address. */
export function causeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  return CAUSES[code] ?? code;
}

/** Whether a server of TLS is at the address. It may close a connection that begins without, and say nothing. */
export function expectsTls(address: SpeakerAddress): Promise<boolean> {
  const place = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
  // Only whether there is a handshake counts: nothing is sent and nothing believed.
  const socket = connect({ ...place, rejectUnauthorized: false, timeout: 1_000 });
  return new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(true));
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(/^ERR_SSL_.*_ALERT_/.test(code)));
    socket.once('timeout', () => resolve(false));
    socket.once('close', () => resolve(false));
  }).finally(() => socket.destroy());
}
