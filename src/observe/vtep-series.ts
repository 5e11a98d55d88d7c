import { MAX_VTEP_SERIES } from '../lib/limits.ts';

/**
 * Which VTEPs have series of their own: MAX_VTEP_SERIES at most, since Prometheus keeps each for weeks, and forged source addresses make VTEPs. A
 * VTEP keeps its series as long as it is known.
 */
export class VtepSeries {
  #chosen = new Set<number>();

  /** @param keys a number for each known VTEP, which is not reused */
  choose(keys: readonly number[]): readonly number[] {
    const kept = keys.filter((key) => this.#chosen.has(key));
    const others = keys.filter((key) => !this.#chosen.has(key));
    const chosen = [...kept, ...others.slice(0, MAX_VTEP_SERIES - kept.length)];
    this.#chosen = new Set(chosen);
    return chosen;
  }

  get limit(): { readonly limit: string; readonly used: number; readonly max: number } {
    return { limit: 'vtep-series', used: this.#chosen.size, max: MAX_VTEP_SERIES };
  }
}
