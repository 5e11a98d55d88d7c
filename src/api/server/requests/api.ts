/** The HTTP side of the API: limits for each client, and one form for all errors. */

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
  API_STALL_MS,
  MAX_API_BODY_BYTES,
  MAX_API_HEADER_BYTES,
} from '../../../lib/limits.ts';
import { type ConnectionCount, Connections } from '../../connections.ts';
import { answerFor, answerForUnknownRoute, type ErrorAnswer, refuseMalformed } from './error-answers.ts';
import { compileValidator } from './request-validation.ts';

/** How often timeouts are checked: they may be late by this much. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;

/** On closing, requests in progress have this long. Then their connections are closed. vtepd stops within 2 s in total. */
const CLOSE_GRACE_MS = 500;

/** A fastify instance whose handlers get their types from the schemas. */
export type TypedApi = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** How many connections an API has, and has closed. */
const counts = new WeakMap<TypedApi, Connections>();

export function connectionsOf(api: TypedApi): ConnectionCount {
  return (counts.get(api) as Connections).count;
}

/**
 * An API without resources; `server` listens nowhere yet.
 * @param name where it will listen, for the log  @param logger gets unforeseen errors; absent: silence
 */
export function createApi(name: string, logger?: FastifyBaseLogger): TypedApi {
  const api = fastify({
    ...(logger && { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_API_BODY_BYTES,
    // Its error would have another form. Requests that arrive while closing are answered within the grace period.
    return503OnClosing: false,
    requestTimeout: API_REQUEST_TIMEOUT_MS,
    keepAliveTimeout: API_KEEP_ALIVE_MS,
    connectionTimeout: API_STALL_MS,
    http: {
      // Otherwise the kernel would never report a host that vanished.
      keepAlive: true,
      headersTimeout: API_HEADERS_TIMEOUT_MS,
      maxHeaderSize: MAX_API_HEADER_BYTES,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
      // Its error would have no body. Nothing here depends on Host, except where a foreign one is refused.
      requireHostHeader: false,
    },
    clientErrorHandler: refuseMalformed,
    frameworkErrors: (error, request, reply) => {
      send(reply, answerFor(error, asked(request)));
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  const connections = new Connections(name, logger);
  counts.set(api, connections);
  api.server.on('connection', (socket) => connections.add(socket));
  api.server.on('timeout', (socket) => connections.cutIfStalled(socket));
  api.addHook('onRequest', async ({ raw }, reply) => connections.begin(raw.socket, reply.raw));
  // accept(2) fails where fds run out; without a listener that would end the daemon.
  api.server.on('error', (error) => logger?.warn({ err: error }, `${name} failed to accept`));
  api.setValidatorCompiler(compileValidator);
  // The answers are made from typed values; a serialiser per schema would cost more on large tables than it checks.
  api.setSerializerCompiler(() => (data) => JSON.stringify(data));
  // A hook, since the handler for it comes after the body was read and judged.
  api.addHook('onRequest', async (request, reply) => {
    if (request.is404) send(reply, answerForUnknownRoute(asked(request)));
  });
  api.setErrorHandler((error, request, reply) => {
    const answer = answerFor(error, asked(request));
    // 503 is for correct requests that cannot be served now.
    if (answer.status >= 500 && answer.status !== 503) request.log.error({ err: error }, `${asked(request)} failed`);
    send(reply, answer);
  });
  return api;
}

/** Lets requests under way end within half a second. Never fails. */
export async function closeApi(api: TypedApi): Promise<void> {
  const cut = setTimeout(() => api.server.closeAllConnections(), CLOSE_GRACE_MS);
  await api.close();
  clearTimeout(cut);
}

/** The query is left out: it is long, and the refusals name its parts themselves. */
function asked(request: Pick<FastifyRequest, 'method' | 'url'>): string {
  const path = request.url.split('?', 1)[0] ?? '';
  return `${request.method} ${path.slice(0, 100)}`;
}

function send(reply: FastifyReply, { status, body }: ErrorAnswer): void {
  reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
}
