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
import {
  API_HEADERS_TIMEOUT_MS,
  API_KEEP_ALIVE_MS,
  API_REQUEST_TIMEOUT_MS,
  MAX_API_BODY_BYTES,
  MAX_API_CONNECTIONS,
  MAX_API_HEADER_BYTES,
} from '../lib/limits.ts';
import { answerFor, answerForUnknownRoute, type ErrorAnswer, refuseMalformed } from './error-answers.ts';
import { compileValidator } from './request-validation.ts';

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
