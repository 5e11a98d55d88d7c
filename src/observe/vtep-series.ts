import { MAX_VTEP_SERIES } from '../lib/limits.ts';

/**
 * Which VTEPs have series of their own: MAX_VTEP_SERIES at most, since Prometheus keeps each for weeks, and whoever invents source addresses
 * makes VTEPs. One that has them keeps them as long as it is known.
 */
export class VtepSeries {
  #chosen = new Set<string>();

  choose<Reading extends { readonly vtep: string }>(readings: readonly Reading[]): readonly Reading[] {
    const kept = readings.filter(({ vtep }) => this.#chosen.has(vtep));
    const others = readings.filter(({ vtep }) => !this.#chosen.has(vtep));
    const chosen = [...kept, ...others.slice(0, MAX_VTEP_SERIES - kept.length)];
    this.#chosen = new Set(chosen.map(({ vtep }) => vtep));
    return chosen;
  }

  get limit(): { readonly limit: string; readonly used: number; readonly max: number } {
    return { limit: 'vtep-series', used: this.#chosen.size, max: MAX_VTEP_SERIES };
  }
}
