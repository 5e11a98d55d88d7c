/** `GET /v1/events`: changes of the FDB as server-sent events (HTML Living Standard §9.2), each one `data:` line of JSON. */

import type { ServerResponse } from 'node:http';
import { VtepError } from '../../../lib/errors.ts';
import { MAX_EVENT_BACKLOG_BYTES, MAX_EVENT_STREAMS } from '../../../lib/limits.ts';
import type { DaemonView } from '../../daemon-view.ts';
import { lostEvents } from '../../lost-events.ts';
import { type DaemonEvent, DaemonEventSchema, NoQuerySchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';

/** How events stand in the stream. */
export function formatEvents(events: readonly DaemonEvent[]): string {
  return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
}

export function addEventRoute(api: TypedApi, view: DaemonView): void {
  const streams = new EventStreams(view);
  api.get(
    '/v1/events',
    {
      schema: {
        summary: 'Changes of the forwarding database and of VNI statuses from now on, each a `data:` line of JSON.',
        querystring: NoQuerySchema,
        response: { 200: { content: { 'text/event-stream': { schema: DaemonEventSchema } } } },
      },
      // A HEAD would listen too, without getting events.
      exposeHeadRoute: false,
    },
    (_request, reply) => {
      streams.refuseIfFull();
      // From here on fastify does not handle the answer.
      reply.hijack();
      streams.open(reply.raw);
    },
  );
  // Open streams would keep the API from closing until they are cut.
  api.addHook('preClose', async () => streams.end());
}

/** The clients that listen. Events are formatted once for all of them, and only while there is one. */
class EventStreams {
  readonly #view: DaemonView;
  readonly #streams = new Set<EventStream>();
  #unwatch: (() => void) | undefined;
  #isEnded = false;

  constructor(view: DaemonView) {
    this.#view = view;
  }

  /** @throws VtepError ERR_VTEP_LIMIT */
  refuseIfFull(): void {
    if (this.#streams.size < MAX_EVENT_STREAMS) return;
    throw new VtepError('ERR_VTEP_LIMIT', {
      object: 'GET /v1/events',
      cause: `${MAX_EVENT_STREAMS} clients listen already`,
      remedy: 'stop one of them',
    });
  }

  open(response: ServerResponse): void {
    const stream = new EventStream(response);
    // There is no further event for a client that is already gone.
    if (this.#isEnded || response.destroyed) {
      stream.end();
      return;
    }
    this.#streams.add(stream);
    this.#unwatch ??= this.#view.watchFdb((events) => this.#tell(events));
    response.on('close', () => this.#forget(stream));
  }

  end(): void {
    this.#isEnded = true;
    for (const stream of [...this.#streams]) stream.end();
  }

  #tell(events: readonly DaemonEvent[]): void {
    const text = formatEvents(events);
    for (const stream of this.#streams) stream.send(text, events.length);
  }

  #forget(stream: EventStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
  }
}

/** One client. Events that it does not read in time are counted, not kept. One that reads nothing for API_STALL_MS is disconnected. */
class EventStream {
  readonly #response: ServerResponse;
  #lost = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
    // Without it a client that vanishes while being written to would end the daemon.
    response.on('error', () => {});
    response.on('drain', () => this.#tellLost());
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      connection: 'close',
    });
    // The head goes out at once: a client that has it misses nothing from then on.
    response.flushHeaders();
  }

  send(text: string, count: number): void {
    if (this.#lost === 0 && this.#response.writableLength < MAX_EVENT_BACKLOG_BYTES) this.#response.write(text);
    else this.#lost += count;
  }

  end(): void {
    this.#response.end();
  }

  /** The client has read all that was kept for it. */
  #tellLost(): void {
    if (this.#lost === 0) return;
    const lost = lostEvents(this.#lost);
    this.#lost = 0;
    this.#response.write(formatEvents([lost]));
  }
}
