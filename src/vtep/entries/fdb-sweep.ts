import type { Fdb } from '../../fdb/fdb.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import type { Logger } from '../../observe/log.ts';

/** Work of one slice: it holds the event loop for less than 200 µs. While it removes an entry it also holds the lock of the FDB. */
export const SLICE_RECORDS = 10_000;
export const SLICE_REMOVALS = 64;

/** A pass over a million records has a hundred slices. A pass that removes them all has 16,000. */
const SLICE_GAP_MS = 2;
const PASS_GAP_MS = 500;

/** Removes expired entries from the FDB, one slice at a time, until it is stopped. */
export class FdbSweep {
  readonly #fdb: Fdb;
  readonly #now: () => number;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #sweptTo = 0;

  constructor(fdb: Fdb, now: () => number, log: Logger) {
    this.#fdb = fdb;
    this.#now = now;
    this.#log = log;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#slice(), PASS_GAP_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #slice(): void {
    try {
      if (this.#fdb.repair())
        this.#log.error({ event: 'fdb-repaired' }, 'a change of the forwarding database had failed');
      this.#sweptTo = this.#fdb.sweep(this.#sweptTo, SLICE_RECORDS, this.#now(), SLICE_REMOVALS);
    } catch (error) {
      // The owner of the lock died. The event loop reports its end next, and the lock is then freed.
      if (!(error instanceof LockTimeout)) throw error;
      this.#log.warn({ event: 'fdb-locked', err: error });
    }
    this.#timer = setTimeout(() => this.#slice(), this.#sweptTo === 0 ? PASS_GAP_MS : SLICE_GAP_MS);
  }
}
