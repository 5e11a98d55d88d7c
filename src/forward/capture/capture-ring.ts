/**
 * A ring of captured frames from one worker to the main thread. It has one writer and one reader, and neither ever waits. Records are contiguous
 * and consist of units of eight octets. A record that does not fit before the end of the ring starts at its beginning, and the rest is skipped.
 *
 *     words: written | read | lost | -     then the units:   | record | record | … | skipped |
 *
 * `written` and `read` count units modulo 2^32; a record begins with the number of its units. Zero means that the rest is skipped.
 */

export const UNIT_BYTES = 8;
export const UNIT_WORDS = 2;

const HEADER_WORDS = 4;
const HEADER_BYTES = HEADER_WORDS * Int32Array.BYTES_PER_ELEMENT;
const WRITTEN = 0;
const READ = 1;
const LOST = 2;

export class CaptureRing {
  readonly memory: SharedArrayBuffer;
  /** The units, without the header. */
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #header: Int32Array;
  readonly #units: number;
  /** Start of the record that is being written, in the count of `written`. */
  #reservedAt = 0;

  /** @param bytes size of the units, a power of two: at least twice the longest record */
  static createMemory(bytes: number): SharedArrayBuffer {
    return new SharedArrayBuffer(HEADER_BYTES + bytes);
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#header = new Int32Array(memory, 0, HEADER_WORDS);
    this.words = new Int32Array(memory, HEADER_BYTES);
    this.doubles = new Float64Array(memory, HEADER_BYTES);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.view = new DataView(memory, HEADER_BYTES);
    this.#units = this.doubles.length;
  }

  /** Writer: reserves a record of this many units. Returns its first unit, or -1 if there is no room now. */
  reserve(units: number): number {
    const written = this.#header[WRITTEN] as number;
    const at = written & (this.#units - 1);
    const skipped = at + units > this.#units ? this.#units - at : 0;
    const used = (written - Atomics.load(this.#header, READ)) | 0;
    if (used + skipped + units > this.#units) return -1;
    if (skipped > 0) this.words[at * UNIT_WORDS] = 0;
    this.#reservedAt = (written + skipped) | 0;
    return this.#reservedAt & (this.#units - 1);
  }

  /** Writer: the reserved record is complete. It has at most the reserved number of units. */
  commit(units: number): void {
    this.words[(this.#reservedAt & (this.#units - 1)) * UNIT_WORDS] = units;
    Atomics.store(this.#header, WRITTEN, (this.#reservedAt + units) | 0);
  }

  /** Writer: counts a frame that found no room. */
  countLost(): void {
    Atomics.add(this.#header, LOST, 1);
  }

  /** Frames that found no room so far, modulo 2^32. */
  get lost(): number {
    return Atomics.load(this.#header, LOST) >>> 0;
  }

  /** Reader: the first unit of the oldest record, or -1 if there is none. The record stays in place until `release`. */
  next(): number {
    const read = this.#header[READ] as number;
    if (Atomics.load(this.#header, WRITTEN) === read) return -1;
    const at = read & (this.#units - 1);
    if (this.words[at * UNIT_WORDS] !== 0) return at;
    Atomics.store(this.#header, READ, (read + this.#units - at) | 0);
    return 0;
  }

  /** Reader: releases the record that `next` returned. */
  release(): void {
    const read = this.#header[READ] as number;
    const units = this.words[(read & (this.#units - 1)) * UNIT_WORDS] as number;
    Atomics.store(this.#header, READ, (read + units) | 0);
  }
}
