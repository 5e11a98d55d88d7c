import type { Logger } from '../observe/log.ts';

/** From the first step of the end to the last: the process ends within 2 s of being asked to. */
const STOP_LIMIT_MS = 1_700;

/** The log's last lines wait so long for a reader or a disk, and have some time even where nothing is left. */
const LOG_PATIENCE_MS = { least: 100, most: 1_000 } as const;

/** Bounds the end of the daemon: every wait on the way out goes through here, and none of them is worth more than the time that is left. */
export class Stopping {
  readonly #log: Logger;
  #endMs: number | undefined;
  #isCut = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Something did not end in time: a thread may hang, which an ordinary exit would wait for. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The time runs from now on. */
  begin(): void {
    this.#endMs ??= performance.now() + STOP_LIMIT_MS;
  }

  /** Waits for a part of the end, while there is time. Never fails. @param what for the log @param mostMs less than there is */
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

  /** How long the log's last lines may take. */
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
