/**
 * A lock in shared memory that holds its owner's id, so that the supervisor can free what a dead worker held.
 * Only inserts, moves and removals take it; lookups and refreshes never do.
 */

const FREE = 0;

/** Tries before a waiter sleeps; an insert is held for well under a microsecond. */
const SPINS = 2_000;

export class SharedLock {
  readonly #cells: Int32Array;
  readonly #cell: number;
  readonly #owner: number;

  /** @param owner unique among the threads that share the cell, above 0 */
  constructor(cells: Int32Array, cell: number, owner: number) {
    this.#cells = cells;
    this.#cell = cell;
    this.#owner = owner;
  }

  acquire(): void {
    for (let spin = 0; Atomics.compareExchange(this.#cells, this.#cell, FREE, this.#owner) !== FREE; spin++) {
      if (spin < SPINS) continue;
      // The timeout covers a release between the exchange and the wait, and an owner that died.
      Atomics.wait(this.#cells, this.#cell, Atomics.load(this.#cells, this.#cell), 1);
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
