import { HEADER } from './layout.ts';
import { SharedLock } from './lock.ts';

/** The lock that every change of the forwarding database holds, and the recovery from a change that did not complete. */
export class ChangeLock {
  readonly #header: Int32Array;
  readonly #lock: SharedLock;

  /**
   * @param header words of HEADER
   * @param owner the thread's number, unique and above 0
   * @param patienceMs how long a writer waits before it throws LockTimeout; unlimited by default
   */
  constructor(header: Int32Array, owner: number, patienceMs?: number) {
    this.#header = header;
    this.#lock = new SharedLock(header, HEADER.lock, owner, patienceMs);
  }

  /** Makes a change under the lock. @throws LockTimeout, and what `change` throws: the database must then be repaired */
  run<Result>(change: () => Result): Result {
    this.#lock.acquire();
    try {
      return change();
    } catch (error) {
      this.breakDown();
      throw error;
    } finally {
      this.#lock.release();
    }
  }

  /** For a change on the packet path, which creates no closure: it calls these three methods as `run` does. @throws LockTimeout */
  acquire(): void {
    this.#lock.acquire();
  }

  breakDown(): void {
    Atomics.store(this.#header, HEADER.broken, 1);
  }

  release(): void {
    this.#lock.release();
  }

  /**
   * Frees the lock that a dead thread held, and repairs a change that the thread, or an exception, left half-written. Returns whether there was
   * anything to repair.
   */
  recover(deadOwner: number, rebuild: () => void): boolean {
    if (!this.#lock.seize(deadOwner)) return this.repair(rebuild);
    this.#rebuildAndRelease(rebuild);
    return true;
  }

  /** Repairs a change that an exception left half-written. Returns whether there was anything to repair. @throws LockTimeout */
  repair(rebuild: () => void): boolean {
    if (Atomics.load(this.#header, HEADER.broken) === 0) return false;
    this.#lock.acquire();
    this.#rebuildAndRelease(rebuild);
    return true;
  }

  /** Number of repairs. */
  get repairs(): number {
    return Atomics.load(this.#header, HEADER.repairs);
  }

  #rebuildAndRelease(rebuild: () => void): void {
    try {
      rebuild();
      Atomics.store(this.#header, HEADER.broken, 0);
      Atomics.add(this.#header, HEADER.repairs, 1);
    } finally {
      this.#lock.release();
    }
  }
}
