import { VtepError } from '../lib/errors.ts';

/**
 * A lock in shared memory that holds the id of its owner, so that the supervisor can free the lock of a dead worker. Only inserts, moves and removals
 * take it; lookups and refreshes never do.
 */

const FREE = 0;

/** Attempts before a waiter sleeps. An insert holds the lock for much less than a microsecond. */
const SPINS = 2_000;

const WAIT_MS = 1;

/** The owner kept the lock longer than the waiter may wait. */
export class LockTimeout extends VtepError {
  constructor(owner: number) {
    super('ERR_VTEP_BUSY', {
      object: 'forwarding database',
      cause: `thread ${owner} keeps it locked`,
      remedy: 'try again; `vtepctl status` shows whether a worker hangs',
    });
    this.name = 'LockTimeout';
  }
}

export class SharedLock {
  readonly #cells: Int32Array;
  readonly #cell: number;
  readonly #owner: number;
  readonly #patienceMs: number;

  /**
   * @param owner unique among the threads that share the cell, above 0
   * @param patienceMs maximum wait of `acquire`. The thread of the supervisor must not wait without limit: it learns of a dead owner, and seizes the
   * lock, only in its event loop.
   */
  constructor(cells: Int32Array, cell: number, owner: number, patienceMs = Number.POSITIVE_INFINITY) {
    this.#cells = cells;
    this.#cell = cell;
    this.#owner = owner;
    this.#patienceMs = patienceMs;
  }

  /** Throws LockTimeout when the maximum wait is over. */
  acquire(): void {
    let waits = 0;
    for (let spin = 0; Atomics.compareExchange(this.#cells, this.#cell, FREE, this.#owner) !== FREE; spin++) {
      if (spin < SPINS) continue;
      if (waits++ >= this.#patienceMs) throw new LockTimeout(Atomics.load(this.#cells, this.#cell));
      // The timeout handles a release between the exchange and the wait.
      Atomics.wait(this.#cells, this.#cell, Atomics.load(this.#cells, this.#cell), WAIT_MS);
    }
  }

  release(): void {
    Atomics.store(this.#cells, this.#cell, FREE);
    Atomics.notify(this.#cells, this.#cell, 1);
  }

  /**
   * Takes the lock over if `owner`, a thread that has ended, held it. The protected data may then be half-written. Returns whether `owner` held it.
   */
  seize(owner: number): boolean {
    return Atomics.compareExchange(this.#cells, this.#cell, owner, this.#owner) === owner;
  }
}
