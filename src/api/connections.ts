/** The connections of one API server: their number, which is closed when there is no room, and which is closed since its client does not read. */

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import { VtepError } from '../lib/errors.ts';
import { API_FULL_LOG_INTERVAL_MS, MAX_API_CONNECTIONS, MAX_API_REQUESTS_AT_ONCE } from '../lib/limits.ts';

/** Of one server, for status and metrics. */
export interface ConnectionCount {
  readonly used: number;
  readonly max: number;
  /** For lack of room, or since the client did not read. */
  readonly cut: number;
}

/**
 * When full, the connection that was without a request for longest is closed, so that idle ones do not block others. If all have a request in
 * progress, the new one is closed.
 */
export class Connections {
  readonly #name: string;
  readonly #logger: FastifyBaseLogger | undefined;
  /** Requests in progress on each. Of those without, the one idle for longest comes first. */
  readonly #underWay = new Map<Socket, number>();
  #crowded = 0;
  #stalled = 0;
  #loggedMs = Number.NEGATIVE_INFINITY;

  /** @param name of the server, for the log */
  constructor(name: string, logger: FastifyBaseLogger | undefined) {
    this.#name = name;
    this.#logger = logger;
  }

  get count(): ConnectionCount {
    return { used: this.#underWay.size, max: MAX_API_CONNECTIONS, cut: this.#crowded + this.#stalled };
  }

  add(socket: Socket): void {
    if (this.#underWay.size >= MAX_API_CONNECTIONS) {
      const idle = this.#longestIdle();
      this.#cutForRoom(idle ?? socket);
      if (!idle) return;
    }
    this.#underWay.set(socket, 0);
    socket.once('close', () => this.#underWay.delete(socket));
  }

  /** @throws VtepError ERR_VTEP_LIMIT for a client that sends requests without waiting for the answers */
  begin(socket: Socket, response: ServerResponse): void {
    const underWay = this.#underWay.get(socket);
    // Cut meanwhile.
    if (underWay === undefined) return;
    this.#underWay.set(socket, underWay + 1);
    response.once('close', () => this.#end(socket));
    if (underWay < MAX_API_REQUESTS_AT_ONCE) return;
    throw new VtepError('ERR_VTEP_LIMIT', {
      object: 'request',
      cause: `${MAX_API_REQUESTS_AT_ONCE} of this connection are not answered yet`,
      remedy: 'wait for the answers',
    });
  }

  /** No data in either direction for a while: a slow handler is allowed, a client that does not read is not. */
  cutIfStalled(socket: Socket): void {
    const isAnswering = (this.#underWay.get(socket) ?? 0) > 0;
    if (isAnswering && socket.writableLength === 0) return;
    if (isAnswering) this.#stalled++;
    socket.destroy();
  }

  #end(socket: Socket): void {
    const underWay = this.#underWay.get(socket);
    if (underWay === undefined) return;
    this.#underWay.delete(socket);
    this.#underWay.set(socket, underWay - 1);
  }

  #longestIdle(): Socket | undefined {
    for (const [socket, underWay] of this.#underWay) if (underWay === 0) return socket;
    return undefined;
  }

  #cutForRoom(socket: Socket): void {
    this.#underWay.delete(socket);
    socket.destroy();
    this.#crowded++;
    const nowMs = performance.now();
    if (nowMs - this.#loggedMs < API_FULL_LOG_INTERVAL_MS) return;
    this.#loggedMs = nowMs;
    this.#logger?.warn(
      { event: 'api-full', server: this.#name, limit: MAX_API_CONNECTIONS, cut: this.#crowded },
      'too many API clients: some were disconnected',
    );
  }
}
