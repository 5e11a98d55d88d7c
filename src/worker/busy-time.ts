/** The shortest window over which the busy share is computed. */
const WINDOW_MS = 1_000;

const TOTAL_MS = 0;
const RATIO = 1;
const WORDS = 2;

/**
 * The part of its time in which a worker does not wait for packets, in shared memory: in total, and as a share of the last whole second. Polling for
 * packets counts as waiting. Only the worker writes, after each wait. So a value that is read is at most one second and one wait old.
 */
export class BusyTime {
  readonly #cells: Float64Array;
  /** End of the last wait, and start of the present window, on the clock of the worker. */
  readonly #times = new Float64Array(2);
  /** Busy time in the present window. */
  readonly #busyMs = new Float64Array(1);

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(WORDS * Float64Array.BYTES_PER_ELEMENT);
  }

  /** @param nowMs time on the clock of the worker; any value for a reader */
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

  /** Since the first thread with this number started. */
  get seconds(): number {
    return (this.#cells[TOTAL_MS] as number) / 1_000;
  }

  /** Range 0 to 1. */
  get ratio(): number {
    return this.#cells[RATIO] as number;
  }
}
