/** Every error of a request as `{"error":{"code","message"}}` with its HTTP status. */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type ErrorCode, VtepError } from '../../../lib/errors.ts';
import { MAX_API_BODY_BYTES } from '../../../lib/limits.ts';
import type { ErrorBody } from '../../schemas.ts';

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorBody;
}

/**
 * @param error whatever a handler, a check or fastify itself threw
 * @param request what was asked, e.g. `POST /v1/fdb`
 */
export function answerFor(error: unknown, request: string): ErrorAnswer {
  if (error instanceof VtepError) return answer(error.httpStatus, error.code, error.message, error.others);
  const { statusCode: status = 500, code } = error as { statusCode?: number; code?: string };
  if (status === 413) {
    const cause = `the body has more than ${MAX_API_BODY_BYTES} bytes`;
    return refusal(413, 'ERR_VTEP_LIMIT', { object: request, cause });
  }
  if (status >= 400 && status < 500) {
    const cause = CAUSES[code ?? ''] ?? (STATUS_CODES[status] ?? 'bad request').toLowerCase();
    return refusal(status, 'ERR_VTEP_USAGE', { object: request, cause });
  }
  // The text of an unexpected error may show paths and internals, so it goes to the log only.
  return refusal(500, 'ERR_VTEP_INTERNAL', {
    object: request,
    cause: 'internal error',
    remedy: 'see the log of vtepd',
  });
}

/** The codes of fastify, with causes and remedies. */
const CAUSES: Readonly<Record<string, string | undefined>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body is not JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty although content-type says JSON',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the body must be JSON (content-type: application/json)',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'content-length and the length of the body differ',
  FST_ERR_BAD_URL: 'the URL is malformed',
};

/** @param request what was asked, e.g. `GET /v2` */
export function answerForUnknownRoute(request: string): ErrorAnswer {
  const remedy = 'GET /openapi.json lists all resources';
  return refusal(404, 'ERR_VTEP_NOT_FOUND', { object: request, cause: 'no such resource here', remedy });
}

/** What node:http refuses before there is a request: an incomplete head, a head that is too large, or a timeout. */
export function refuseMalformed(error: Error & { readonly code?: string }, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [status, cause] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'the head is too large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'not complete in time']
        : [400, 'not HTTP/1.1'];
  const { body } = refusal(status, 'ERR_VTEP_USAGE', { object: 'request', cause });
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

function refusal(status: number, code: ErrorCode, parts: ConstructorParameters<typeof VtepError>[1]): ErrorAnswer {
  return answer(status, code, new VtepError(code, parts).message);
}

function answer(status: number, code: ErrorCode, message: string, others: readonly string[] = []): ErrorAnswer {
  return { status, body: { error: { code, message, ...(others.length > 0 && { others: [...others] }) } } };
}
