import type { Segment, SegmentUpdate } from './segment.ts';

/** The segments of one worker, by VNI for what comes from the underlay and by TAP for what comes from the overlay. */
export class SegmentMap {
  readonly #byVni = new Map<number, Segment>();
  readonly #byIndex = new Map<number, Segment>();
  readonly #byTap = new Map<number, Segment>();

  byVni(vni: number): Segment | undefined {
    return this.#byVni.get(vni);
  }

  byTap(tap: number): Segment | undefined {
    return this.#byTap.get(tap);
  }

  apply(update: SegmentUpdate): void {
    const old = this.#byIndex.get(update.kind === 'put' ? update.segment.index : update.index);
    if (old) {
      this.#byVni.delete(old.vni);
      this.#byTap.delete(old.tap);
      this.#byIndex.delete(old.index);
    }
    if (update.kind === 'remove') return;
    this.#byVni.set(update.segment.vni, update.segment);
    this.#byTap.set(update.segment.tap, update.segment);
    this.#byIndex.set(update.segment.index, update.segment);
  }
}
