import { MAX_SEGMENTS } from '../lib/limits.ts';

/**
 * `storm=PPS`: a token bucket per segment and direction that holds the frames of one second. It is in shared memory, since the load of the workers is
 * uneven: one worker reads all frames of a group, and all floods of a station come from one queue of the TAP. If the rate were divided by the number
 * of workers, only a fraction of the requested rate would pass.
 *
 * A bucket has two words: the time of the last refill in tenths of a second, and the content in tenths of a frame.
 */

/** The direction whose bucket is asked. */
export const STORM_RX = 0;
export const STORM_TX = 1;

const FILLED_AT = 0;
const HELD = 1;
const BUCKET_WORDS = 2;
const SEGMENT_WORDS = 2 * BUCKET_WORDS;

/** Cost of a frame in tenths of a frame, and time to fill an empty bucket in tenths of a second. */
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

  /** The result that `take` would return. Nothing is taken. */
  has(segment: number, direction: number, framesPerSecond: number, frames: number, now: number): boolean {
    const bucket = segment * SEGMENT_WORDS + direction * BUCKET_WORDS;
    const filledAt = Atomics.load(this.#cells, bucket + FILLED_AT);
    const held = Atomics.load(this.#cells, bucket + HELD);
    const gain = gainSince(filledAt, Math.max(now, 1), framesPerSecond);
    const filled = gain === 0 ? held : Math.min(framesPerSecond * FRAME_COST, held + gain);
    return filled >= frames * FRAME_COST;
  }

  /** Adds the frames for the time since the last refill. If several workers do this at once, one succeeds. */
  #fill(bucket: number, framesPerSecond: number, now: number): void {
    const filledAt = Atomics.load(this.#cells, bucket + FILLED_AT);
    // Never zero, which marks a bucket that was not used yet.
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

/** What a bucket gains, in tenths of a frame. 0 if no time has passed. @param filledAt zero: the bucket was not used yet, and is full */
function gainSince(filledAt: number, at: number, framesPerSecond: number): number {
  if (at <= filledAt) return 0;
  return framesPerSecond * (filledAt === 0 ? FILLING_TENTHS : Math.min(at - filledAt, FILLING_TENTHS));
}
