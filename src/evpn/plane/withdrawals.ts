import { setImmediate } from 'node:timers/promises';
import { keyOf, type Path, type RouteKey } from '../route.ts';

/** Withdrawals that are applied in one step: about a millisecond. */
const SLICE_PATHS = 500;

/**
 * Withdrawals that are not in force yet. A BGP speaker withdraws all routes of a peer when its session with the peer is lost, and says nothing of the
 * cause. So each withdrawal waits until it is known whether a peer is left.
 */
export class Withdrawals {
  /** Asks whether no peer is left. */
  readonly #hasLostPeers: () => Promise<boolean>;
  readonly #apply: (paths: readonly Path[]) => void;
  readonly #waiting = new Map<RouteKey, Path>();
  /** To be applied, in slices. */
  readonly #valid = new Map<RouteKey, Path>();
  #isAsking = false;
  #isApplying = false;

  constructor(hasLostPeers: () => Promise<boolean>, apply: (paths: readonly Path[]) => void) {
    this.#hasLostPeers = hasLostPeers;
    this.#apply = apply;
  }

  add(path: Path): void {
    this.#waiting.set(keyOf(path.route), path);
    if (!this.#isAsking) void this.#ask();
  }

  /** The route was announced again. */
  cancel({ route }: Path): void {
    if (this.#waiting.size + this.#valid.size === 0) return;
    const key = keyOf(route);
    this.#waiting.delete(key);
    this.#valid.delete(key);
  }

  applyAll(): void {
    for (const [key, path] of this.#waiting) this.#valid.set(key, path);
    this.#waiting.clear();
    if (!this.#isApplying) void this.#applyValid();
  }

  /** The speaker was lost. What it has now is read again later. */
  clear(): void {
    this.#waiting.clear();
    this.#valid.clear();
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    // Those that are added meanwhile may have another cause, so they are asked for again.
    for (let asked = 0; asked !== this.#waiting.size; ) {
      asked = this.#waiting.size;
      if (!(await this.#hasLostPeers())) this.applyAll();
    }
    this.#isAsking = false;
  }

  async #applyValid(): Promise<void> {
    this.#isApplying = true;
    while (this.#valid.size > 0) {
      const paths: Path[] = [];
      for (const [key, path] of this.#valid) {
        this.#valid.delete(key);
        if (paths.push(path) === SLICE_PATHS) break;
      }
      this.#apply(paths);
      await setImmediate();
    }
    this.#isApplying = false;
  }
}
