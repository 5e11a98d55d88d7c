import type { Logger } from '../observe/log.ts';

/** Time from the first step of the shutdown to the last. The process must end within 2 s of the request. */
const STOP_LIMIT_MS = 1_700;

/** How long the last log lines may wait for a reader or a disk. They get the minimum even if no time is left. */
const LOG_PATIENCE_MS = { least: 100, most: 1_000 } as const;

/** Limits the duration of the shutdown. Every wait of the shutdown uses this class, and none takes longer than the time that is left. */
export class Stopping {
  readonly #log: Logger;
  #endMs: number | undefined;
  #isCut = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A part did not end in time. A thread may hang, and an ordinary exit would wait for it. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Starts the time limit. */
  begin(): void {
    this.#endMs ??= performance.now() + STOP_LIMIT_MS;
  }

  /**
   * Waits for a part of the shutdown, within the time limit. Never fails. @param what name for the log @param mostMs a shorter limit for this part
   */
  async wait(what: string, part: Promise<unknown>, mostMs = STOP_LIMIT_MS): Promise<void> {
    this.begin();
    const leftMs = Math.max(0, (this.#endMs as number) - performance.now());
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), Math.min(leftMs, mostMs));
    });
    try {
      if ((await Promise.race([part, late])) === 'late') this.cut(what);
    } catch (err) {
      this.#log.error({ event: 'stop-failed', what, err });
    } finally {
      clearTimeout(timer);
    }
  }

  /** How long the last log lines may take. */
  get logPatienceMs(): number {
    this.begin();
    const { least, most } = LOG_PATIENCE_MS;
    return Math.max(least, Math.min(most, (this.#endMs as number) - performance.now()));
  }

  cut(what: string): void {
    this.#isCut = true;
    this.#log.warn({ event: 'stop-cut', what }, 'it did not end in time');
  }
}
