import { setImmediate, setTimeout } from 'node:timers/promises';
import { LockTimeout } from '../../fdb/lock.ts';
import type { Logger } from '../../observe/log.ts';

/** Between two bursts of work: whoever causes changes by the thousand keeps nobody busy, and what changes meanwhile is told together. */
const GAP_MS = 20;

/** How long a change may wait that wakes nobody. */
const PATIENCE_MS = 250;

/** Work on what other threads change in shared memory. */
export interface SlicedWork {
  /** A number in shared memory that changes when there is something to do. */
  readonly changes: () => number;
  /** Resolves once that number is not `seen`, or after `patienceMs`. */
  readonly change: (seen: number, patienceMs: number) => Promise<void>;
  /** Does a piece of it that holds the event loop for about a millisecond. Whether there may be more. @throws LockTimeout */
  readonly slice: () => boolean;
}

/** Does the work slice by slice while there is some; others have their turn in between. Then it sleeps until something changes. */
export class SliceLoop {
  readonly #work: SlicedWork;
  readonly #log: Logger;
  /** Counts starts and stops: a run ends when it is not its own any more. */
  #run = 0;
  #isRunning = false;
  #wake: (() => void) | undefined;

  constructor(work: SlicedWork, log: Logger) {
    this.#work = work;
    this.#log = log;
  }

  /** Begins, unless it has begun. There is something to do, whatever `changes` says. */
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
      // The owner died with the lock; its end is the next thing the event loop tells, and frees it.
      if (!(error instanceof LockTimeout)) throw error;
      this.#log.warn({ event: 'fdb-locked', err: error });
      return 'locked';
    }
  }
}
