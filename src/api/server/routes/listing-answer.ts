import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Listings } from '../requests/listings.ts';

/** Sends the answer in pieces when its turn comes. A large table in one piece would block everything else. */
export async function sendListing(
  listings: Listings,
  list: () => AsyncIterable<readonly object[]>,
  { request, reply }: { request: Pick<FastifyRequest, 'raw'>; reply: FastifyReply },
): Promise<void> {
  let text: Readable | undefined;
  const end = await listings.begin(() => text?.destroy());
  try {
    text = Readable.from(arrayText(list()));
  } catch (error) {
    end();
    throw error;
  }
  text.once('close', end);
  // Its client disconnected while it waited: nothing would read or end it.
  if (request.raw.socket.destroyed) text.destroy();
  // The types know no streams.
  return reply.type('application/json; charset=utf-8').send(text as never) as never;
}

/** A JSON array, a piece for each slice of its items. */
async function* arrayText(slices: AsyncIterable<readonly object[]>): AsyncGenerator<string, void, undefined> {
  let separator = '[';
  for await (const items of slices) {
    if (items.length === 0) continue;
    yield separator + JSON.stringify(items).slice(1, -1);
    separator = ',';
  }
  yield separator === '[' ? '[]' : ']';
}
