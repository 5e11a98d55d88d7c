import { setImmediate, setTimeout } from 'node:timers/promises';
import { LockTimeout } from '../../fdb/lock.ts';
import type { Logger } from '../../observe/log.ts';

/**
 * Pause between two bursts of work. Thousands of changes then do not keep the thread busy, and changes that arrive in the pause are handled together.
 */
const GAP_MS = 20;

/** Maximum delay for a change that does not wake the loop. */
const PATIENCE_MS = 250;

/** Work that depends on shared memory which other threads change. */
export interface SlicedWork {
  /** A number in shared memory that changes when there is something to do. */
  readonly changes: () => number;
  /** Resolves once that number is not `seen`, or after `patienceMs`. */
  readonly change: (seen: number, patienceMs: number) => Promise<void>;
  /** Does one piece of work, which holds the event loop for about a millisecond. Returns whether there may be more. @throws LockTimeout */
  readonly slice: () => boolean;
}

/** Does the work slice by slice. Other tasks run in between. When nothing is left, the loop sleeps until something changes. */
export class SliceLoop {
  readonly #work: SlicedWork;
  readonly #log: Logger;
  /** Counts starts and stops. A run ends when the count has changed since its start. */
  #run = 0;
  #isRunning = false;
  #wake: (() => void) | undefined;

  constructor(work: SlicedWork, log: Logger) {
    this.#work = work;
    this.#log = log;
  }

  /** Starts the loop, unless it runs already. The first slice runs whatever `changes` returns. */
  start(): void {
    this.#wake?.();
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#go(++this.#run);
  }

  stop(): void {
    this.#isRunning = false;
    this.#run++;
    this.#wake?.();
  }

  async #go(run: number): Promise<void> {
    await setImmediate();
    while (run === this.#run) {
      const seen = this.#work.changes();
      const outcome = this.#slice();
      if (outcome === 'more') {
        await setImmediate();
        continue;
      }
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await setTimeout(GAP_MS, undefined, { ref: false });
      if (outcome === 'done' && run === this.#run) await Promise.race([this.#work.change(seen, PATIENCE_MS), woken]);
    }
  }

  #slice(): 'more' | 'done' | 'locked' {
    try {
      return this.#work.slice() ? 'more' : 'done';
    } catch (error) {
      // The owner of the lock died. The event loop reports its end next, and the lock is then freed.
      if (!(error instanceof LockTimeout)) throw error;
      this.#log.warn({ event: 'fdb-locked', err: error });
      return 'locked';
    }
  }
}
