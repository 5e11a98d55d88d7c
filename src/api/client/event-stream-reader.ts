/** Reads the streams of `GET /v1/events` and `GET /v1/capture`. */

import type { DaemonEvent } from '../schemas.ts';

/** Takes server-sent events of one `data:` line each out of chunks that end anywhere; comments and other fields are ignored. */
export async function* readEvents<Event = DaemonEvent>(
  chunks: AsyncIterable<unknown>,
): AsyncGenerator<readonly Event[], void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    const events = lines.filter((line) => line.startsWith('data:')).map((line) => JSON.parse(line.slice(5)) as Event);
    if (events.length > 0) yield events;
  }
}
