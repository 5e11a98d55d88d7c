/** The HTTP side of the API: bounds of what one client may cost, and one shape for all failures. */

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify';
import { MAX_API_BODY_BYTES } from '../lib/limits.ts';
import { answerFor, answerForUnknownRoute, type ErrorAnswer, refuseMalformed } from './error-answers.ts';
import { compileValidator } from './request-validation.ts';

/** Connections at once. Each holds an fd and a parser; monitors stay open. A further one is closed unread. */
export const MAX_API_CONNECTIONS = 64;

/** Bytes of a request's head: method, path, query and headers. vtepctl sends under 300. A larger one is answered 431. */
export const MAX_API_HEADER_BYTES = 8_192;

/** A client has this long for a request's head, and this long for all of it; then it is answered 408. */
export const API_HEADERS_TIMEOUT_MS = 5_000;
export const API_REQUEST_TIMEOUT_MS = 10_000;

/** A connection without a request is closed after this long. */
export const API_KEEP_ALIVE_MS = 5_000;

/** How often the timeouts are looked at: they may be late by this much. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;

/** A fastify instance whose handlers get their types from the schemas. */
export type TypedApi = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** An API without resources; `server` listens nowhere yet. @param logger gets unforeseen errors; absent: silence */
export function createApi(logger?: FastifyBaseLogger): TypedApi {
  const api = fastify({
    ...(logger && { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_API_BODY_BYTES,
    requestTimeout: API_REQUEST_TIMEOUT_MS,
    keepAliveTimeout: API_KEEP_ALIVE_MS,
    http: {
      headersTimeout: API_HEADERS_TIMEOUT_MS,
      maxHeaderSize: MAX_API_HEADER_BYTES,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
    },
    clientErrorHandler: refuseMalformed,
    frameworkErrors: (error, request, reply) => {
      send(reply, answerFor(error, asked(request)));
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  api.server.maxConnections = MAX_API_CONNECTIONS;
  api.setValidatorCompiler(compileValidator);
  // The answers are made from typed values; a serialiser per schema would cost more on large tables than it checks.
  api.setSerializerCompiler(() => (data) => JSON.stringify(data));
  api.setNotFoundHandler((request, reply) => send(reply, answerForUnknownRoute(asked(request))));
  api.setErrorHandler((error, request, reply) => {
    const answer = answerFor(error, asked(request));
    if (answer.status >= 500) request.log.error({ err: error }, `${asked(request)} failed`);
    send(reply, answer);
  });
  return api;
}

/** The query is left out: it is long, and the refusals name its parts themselves. */
function asked(request: Pick<FastifyRequest, 'method' | 'url'>): string {
  const path = request.url.split('?', 1)[0] ?? '';
  return `${request.method} ${path.slice(0, 100)}`;
}

function send(reply: FastifyReply, { status, body }: ErrorAnswer): void {
  reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
}
