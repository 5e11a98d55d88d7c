/**
 * `GET /v1/capture`: frames as they pass, as server-sent events or as a pcapng file that goes on. On the control socket only, since it shows traffic
 * of tenants.
 */

import type { ServerResponse } from 'node:http';
import { Type } from 'typebox';
import { CAPTURE_LOOK_MS, MAX_CAPTURE_BACKLOG_BYTES } from '../../../lib/limits.ts';
import { captureEvent, fileHead, fileLost, filePacket, lostFrames } from '../../capture-text.ts';
import type { Capture, CapturedFrame, DaemonView } from '../../daemon-view.ts';
import { CaptureEventSchema, CaptureQuerySchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';
import { readCaptureQuery } from '../requests/request-values.ts';

/** How frames stand in a stream. */
interface CaptureFormat {
  readonly contentType: string;
  /** What it begins with. */
  readonly head: readonly Uint8Array[];
  frame(frame: CapturedFrame): Uint8Array;
  /** @param total frames lost so far @param more of them since it was told last */
  lost(timeUs: number, total: number, more: number): Uint8Array;
}

const eventOctets = (event: object) => Buffer.from(`data: ${JSON.stringify(event)}\n\n`);

const EVENTS: CaptureFormat = {
  contentType: 'text/event-stream; charset=utf-8',
  head: [],
  frame: (frame) => eventOctets(captureEvent(frame)),
  lost: (timeUs, _total, more) => eventOctets(lostFrames(timeUs, more)),
};

const pcapng = (application: string): CaptureFormat => ({
  contentType: 'application/x-pcapng',
  head: fileHead(application),
  frame: filePacket,
  lost: (timeUs, total) => fileLost(timeUs, total),
});

export function addCaptureRoute(api: TypedApi, view: DaemonView): void {
  const streams = new Set<CaptureStream>();
  let isEnded = false;
  api.get(
    '/v1/capture',
    {
      schema: {
        summary: 'Frames from now on as they pass, each with its verdict.',
        querystring: CaptureQuerySchema,
        response: {
          200: {
            content: {
              'text/event-stream': { schema: CaptureEventSchema },
              'application/x-pcapng': { schema: Type.String({ description: 'pcapng' }) },
            },
          },
        },
      },
      // A HEAD would start a capture without a reader.
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const { version } = await view.status();
      const format = request.query.format === 'pcapng' ? pcapng(`vtepd ${version}`) : EVENTS;
      const capture = await view.capture(readCaptureQuery(request.query));
      // From here on fastify does not handle the answer.
      reply.hijack();
      const response = reply.raw;
      // There is no further event for a client that is already gone.
      if (isEnded || response.destroyed) {
        capture.close();
        response.end();
        return;
      }
      const stream = new CaptureStream(response, capture, format);
      streams.add(stream);
      response.on('close', () => {
        streams.delete(stream);
        stream.stop();
      });
    },
  );
  // Open streams would keep the API from closing until they are cut.
  api.addHook('preClose', async () => {
    isEnded = true;
    for (const stream of streams) stream.end();
  });
}

/** One client. Frames that it does not read stay in the rings. Those without room there are lost and counted. */
class CaptureStream {
  readonly #response: ServerResponse;
  readonly #capture: Capture;
  readonly #format: CaptureFormat;
  #lost = 0;
  #timer: NodeJS.Timeout;

  constructor(response: ServerResponse, capture: Capture, format: CaptureFormat) {
    this.#response = response;
    this.#capture = capture;
    this.#format = format;
    // Without it a client that vanishes while being written to would end the daemon.
    response.on('error', () => {});
    response.writeHead(200, {
      'content-type': format.contentType,
      'cache-control': 'no-store',
      connection: 'close',
    });
    // The head goes out at once: a client that has it misses nothing from then on.
    response.flushHeaders();
    for (const octets of format.head) response.write(octets);
    this.#timer = setTimeout(() => this.#look(), CAPTURE_LOOK_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#capture.close();
  }

  /** Queued frames are still sent. */
  end(): void {
    clearTimeout(this.#timer);
    this.#tell();
    this.#response.end();
  }

  #look(): void {
    const startMs = performance.now();
    const isMore = this.#tell();
    // At most half of the time, for other requests, and since the workers may need the processor.
    const pauseMs = isMore ? performance.now() - startMs : CAPTURE_LOOK_MS;
    this.#timer = setTimeout(() => this.#look(), pauseMs);
  }

  /** Whether there may be more that the client can read now. */
  #tell(): boolean {
    if (this.#response.writableLength >= MAX_CAPTURE_BACKLOG_BYTES) return false;
    const { frames, isMore } = this.#capture.read();
    const octets = frames.map((frame) => this.#format.frame(frame));
    const { lost } = this.#capture;
    if (lost > this.#lost) {
      const timeUs = frames.at(-1)?.timeUs ?? Date.now() * 1_000;
      octets.push(this.#format.lost(timeUs, lost, lost - this.#lost));
      this.#lost = lost;
    }
    if (octets.length > 0) this.#response.write(Buffer.concat(octets));
    return isMore;
  }
}
