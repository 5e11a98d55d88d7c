import { MAX_SPEAKER_MESSAGE_BYTES } from '../../lib/limits.ts';
import { Unreadable } from './message.ts';

/**
 * Messages of gRPC in the body of an HTTP/2 stream ("gRPC over HTTP2", Length-Prefixed-Message):
 *
 *      0        1                 5
 *     +--------+-----------------+----------- -
 *     | 1:     | length          | message …
 *     | packed | of the message  |
 *     +--------+-----------------+----------- -
 */
const HEADER_BYTES = 5;

export function frame(message: Uint8Array): Buffer {
  const octets = Buffer.alloc(HEADER_BYTES + message.length);
  octets.writeUInt32BE(message.length, 1);
  octets.set(message, HEADER_BYTES);
  return octets;
}

/** Cuts the chunks of one stream into messages. A message is joined once, when all of it is there. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #octets = 0;
  /** Of the message that is awaited; undefined: its header is. */
  #length: number | undefined;

  /**
   * The messages that end in this chunk. They are views of it, or of a copy.
   *
   * @throws Unreadable if a message is compressed or longer than MAX_SPEAKER_MESSAGE_BYTES
   */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    this.#chunks.push(chunk);
    this.#octets += chunk.length;
    for (;;) {
      if (this.#length === undefined) {
        if (this.#octets < HEADER_BYTES) return;
        this.#length = lengthIn(this.#take(HEADER_BYTES));
      }
      if (this.#octets < this.#length) return;
      const message = this.#take(this.#length);
      this.#length = undefined;
      yield message;
    }
  }

  /** Whether all that was pushed were whole messages. */
  get isAtEnd(): boolean {
    return this.#octets === 0 && this.#length === undefined;
  }

  #take(octets: number): Uint8Array {
    const whole = this.#chunks.length === 1 ? (this.#chunks[0] as Uint8Array) : Buffer.concat(this.#chunks);
    this.#chunks = [whole.subarray(octets)];
    this.#octets -= octets;
    return whole.subarray(0, octets);
  }
}

function lengthIn(header: Uint8Array): number {
  if (header[0] !== 0) throw new Unreadable('a message is compressed, which was not agreed on');
  const length = new DataView(header.buffer, header.byteOffset).getUint32(1);
  if (length > MAX_SPEAKER_MESSAGE_BYTES) throw new Unreadable(`a message has ${length} octets`);
  return length;
}
