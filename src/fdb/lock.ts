import { VtepError } from '../lib/errors.ts';

/**
 * A lock in shared memory that holds its owner's id, so that the supervisor can free what a dead worker held.
 * Only inserts, moves and removals take it; lookups and refreshes never do.
 */

const FREE = 0;

/** Tries before a waiter sleeps; an insert is held for well under a microsecond. */
const SPINS = 2_000;

const WAIT_MS = 1;

/** The lock's owner kept it longer than the waiter would wait. */
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
   * @param patienceMs how long `acquire` waits at most. The supervisor's thread must not wait for ever: it learns of a dead owner, and seizes
   *   the lock, only once it is back in its event loop.
   */
  constructor(cells: Int32Array, cell: number, owner: number, patienceMs = Number.POSITIVE_INFINITY) {
    this.#cells = cells;
    this.#cell = cell;
    this.#owner = owner;
    this.#patienceMs = patienceMs;
  }

  /** Throws LockTimeout when patience ends. */
  acquire(): void {
    let waits = 0;
    for (let spin = 0; Atomics.compareExchange(this.#cells, this.#cell, FREE, this.#owner) !== FREE; spin++) {
      if (spin < SPINS) continue;
      if (waits++ >= this.#patienceMs) throw new LockTimeout(Atomics.load(this.#cells, this.#cell));
      // The timeout covers a release between the exchange and the wait.
      Atomics.wait(this.#cells, this.#cell, Atomics.load(this.#cells, this.#cell), WAIT_MS);
    }
  }

  release(): void {
    Atomics.store(this.#cells, this.#cell, FREE);
    Atomics.notify(this.#cells, this.#cell, 1);
  }

  /** Takes the lock over if `owner`, a thread that is no more, held it; what it guards may then be half-written. Whether it did. */
  seize(owner: number): boolean {
    return Atomics.compareExchange(this.#cells, this.#cell, owner, this.#owner) === owner;
  }
}
