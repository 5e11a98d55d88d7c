import { NO_VLAN, type Segment, type SegmentUpdate } from './segment.ts';
import { Trunk } from './trunk.ts';

/** The segments of one worker, by VNI for what comes from the underlay and by TAP for what comes from the overlay. */
export class SegmentMap {
  readonly #byVni = new Map<number, Segment>();
  readonly #byIndex = new Map<number, Segment>();
  readonly #byTap = new Map<number, Segment>();
  readonly #trunks = new Map<number, Trunk>();

  byVni(vni: number): Segment | undefined {
    return this.#byVni.get(vni);
  }

  /** The segment of a TAP that is no trunk. */
  byTap(tap: number): Segment | undefined {
    return this.#byTap.get(tap);
  }

  /** The segments of a TAP that is a trunk; it stays one when the last of them is removed. */
  trunkOf(tap: number): Trunk | undefined {
    return this.#trunks.get(tap);
  }

  apply(update: SegmentUpdate): void {
    const old = this.#byIndex.get(update.kind === 'put' ? update.segment.index : update.index);
    if (old) this.#remove(old);
    if (update.kind === 'put') this.#add(update.segment);
  }

  #add(segment: Segment): void {
    this.#byVni.set(segment.vni, segment);
    this.#byIndex.set(segment.index, segment);
    if (segment.vlan === NO_VLAN) {
      this.#byTap.set(segment.tap, segment);
      return;
    }
    const trunk = this.#trunks.get(segment.tap) ?? new Trunk();
    trunk.add(segment);
    this.#trunks.set(segment.tap, trunk);
  }

  #remove(segment: Segment): void {
    this.#byVni.delete(segment.vni);
    this.#byIndex.delete(segment.index);
    if (segment.vlan === NO_VLAN) this.#byTap.delete(segment.tap);
    else this.#trunks.get(segment.tap)?.remove(segment);
  }
}
