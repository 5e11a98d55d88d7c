/** How long a worker is asked about at least when it says how busy it is. */
const WINDOW_MS = 1_000;

const TOTAL_MS = 0;
const RATIO = 1;
const WORDS = 2;

/**
 * How much of its time a worker does not wait for packets, in shared memory: in all, and as a share of the last whole second. To look for
 * packets again and again is waiting too. Only the worker writes, each time it has waited, so that what is read is at most a second and one
 * wait old.
 */
export class BusyTime {
  readonly #cells: Float64Array;
  /** When the worker last had waited, and began the present window; on its clock. */
  readonly #times = new Float64Array(2);
  /** In the present window. */
  readonly #busyMs = new Float64Array(1);

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(WORDS * Float64Array.BYTES_PER_ELEMENT);
  }

  /** @param nowMs of the worker's clock; any for whoever only reads */
  constructor(memory: SharedArrayBuffer, nowMs = 0) {
    this.#cells = new Float64Array(memory);
    this.#times.fill(nowMs);
  }

  /** The worker waited between two times of its clock, and worked before. */
  waited(begunMs: number, endedMs: number): void {
    const workedMs = begunMs - (this.#times[0] as number);
    const windowMs = endedMs - (this.#times[1] as number);
    this.#times[0] = endedMs;
    this.#cells[TOTAL_MS] = (this.#cells[TOTAL_MS] as number) + workedMs;
    this.#busyMs[0] = (this.#busyMs[0] as number) + workedMs;
    if (windowMs < WINDOW_MS) return;
    this.#cells[RATIO] = (this.#busyMs[0] as number) / windowMs;
    this.#busyMs[0] = 0;
    this.#times[1] = endedMs;
  }

  /** Since the first thread of this number began. */
  get seconds(): number {
    return (this.#cells[TOTAL_MS] as number) / 1_000;
  }

  /** 0 to 1. */
  get ratio(): number {
    return this.#cells[RATIO] as number;
  }
}
