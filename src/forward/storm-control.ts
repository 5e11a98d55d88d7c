import { MAX_SEGMENTS } from '../lib/limits.ts';

/**
 * `storm=PPS`: a token bucket per segment and direction that holds what one second brings. In shared memory, since the workers' shares are
 * uneven by nature: all that comes by a group is read by one worker, and all that a station floods comes out of one queue of the TAP. A
 * rate divided by the workers would let through a fraction of what was asked for.
 *
 * Two words a bucket: the tenth of a second it was last filled in, and what it holds, in tenths of a frame.
 */

/** The direction whose bucket is asked. */
export const STORM_RX = 0;
export const STORM_TX = 1;

const FILLED_AT = 0;
const HELD = 1;
const BUCKET_WORDS = 2;
const SEGMENT_WORDS = 2 * BUCKET_WORDS;

/** Tenths of a frame that a frame costs, and tenths of a second that fill an empty bucket. */
const FRAME_COST = 10;
const FILLING_TENTHS = 10;

export class StormControl {
  readonly #cells: Int32Array;

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(MAX_SEGMENTS * SEGMENT_WORDS * Int32Array.BYTES_PER_ELEMENT);
  }

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /**
   * Takes frames out of a bucket, all or none of them.
   *
   * @param segment its index
   * @param direction STORM_RX or STORM_TX
   * @param framesPerSecond 1 to MAX_STORM_PPS
   * @param now tenths of a second
   * @returns whether they may be flooded
   */
  take(segment: number, direction: number, framesPerSecond: number, frames: number, now: number): boolean {
    const bucket = segment * SEGMENT_WORDS + direction * BUCKET_WORDS;
    this.#fill(bucket, framesPerSecond, now);
    const cost = frames * FRAME_COST;
    for (;;) {
      const held = Atomics.load(this.#cells, bucket + HELD);
      if (held < cost) return false;
      if (Atomics.compareExchange(this.#cells, bucket + HELD, held, held - cost) === held) return true;
    }
  }

  /** What `take` would answer; nothing is taken. */
  has(segment: number, direction: number, framesPerSecond: number, frames: number, now: number): boolean {
    const bucket = segment * SEGMENT_WORDS + direction * BUCKET_WORDS;
    const filledAt = Atomics.load(this.#cells, bucket + FILLED_AT);
    const held = Atomics.load(this.#cells, bucket + HELD);
    const gain = gainSince(filledAt, Math.max(now, 1), framesPerSecond);
    const filled = gain === 0 ? held : Math.min(framesPerSecond * FRAME_COST, held + gain);
    return filled >= frames * FRAME_COST;
  }

  /** Adds what the time since the last filling brings. Of several workers that come at once, one does. */
  #fill(bucket: number, framesPerSecond: number, now: number): void {
    const filledAt = Atomics.load(this.#cells, bucket + FILLED_AT);
    // Never the zero of a bucket that was not asked yet.
    const at = Math.max(now, 1);
    const gain = gainSince(filledAt, at, framesPerSecond);
    if (gain === 0 || Atomics.compareExchange(this.#cells, bucket + FILLED_AT, filledAt, at) !== filledAt) return;
    const full = framesPerSecond * FRAME_COST;
    for (;;) {
      const held = Atomics.load(this.#cells, bucket + HELD);
      const filled = Math.min(full, held + gain);
      if (Atomics.compareExchange(this.#cells, bucket + HELD, held, filled) === held) return;
    }
  }
}

/** What a bucket gains, in tenths of a frame; 0 if no time has passed. @param filledAt zero: it was never asked, and is full */
function gainSince(filledAt: number, at: number, framesPerSecond: number): number {
  if (at <= filledAt) return 0;
  return framesPerSecond * (filledAt === 0 ? FILLING_TENTHS : Math.min(at - filledAt, FILLING_TENTHS));
}
