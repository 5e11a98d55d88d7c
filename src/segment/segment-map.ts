import type { Encap } from '../encap/encapsulation.ts';
import { NO_VLAN, type Segment, type SegmentUpdate } from './segment.ts';
import { Trunk } from './trunk.ts';

/** Number of bits of a VNI. */
const VNI_BITS = 24;

/** The segments of one worker: by VNI for datagrams from the underlay, by TAP for frames from the overlay. */
export class SegmentMap {
  /** By `keyOf`. */
  readonly #byVni = new Map<number, Segment>();
  readonly #byIndex = new Map<number, Segment>();
  readonly #byTap = new Map<number, Segment>();
  readonly #trunks = new Map<number, Trunk>();

  byVni(encap: Encap, vni: number): Segment | undefined {
    return this.#byVni.get(keyOf(encap, vni));
  }

  /** The segment of a TAP that is not a trunk. */
  byTap(tap: number): Segment | undefined {
    return this.#byTap.get(tap);
  }

  /** The segments of a trunk TAP. It stays a trunk when the last segment is removed. */
  trunkOf(tap: number): Trunk | undefined {
    return this.#trunks.get(tap);
  }

  apply(update: SegmentUpdate): void {
    const old = this.#byIndex.get(update.kind === 'put' ? update.segment.index : update.index);
    if (old) this.#remove(old);
    if (update.kind === 'put') this.#add(update.segment);
    else if (update.kind === 'flood-list' && old) this.#add({ ...old, floodRemotes: changedList(old, update) });
  }

  #add(segment: Segment): void {
    this.#byVni.set(keyOf(segment.encap, segment.vni), segment);
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
    this.#byVni.delete(keyOf(segment.encap, segment.vni));
    this.#byIndex.delete(segment.index);
    if (segment.vlan === NO_VLAN) this.#byTap.delete(segment.tap);
    else this.#trunks.get(segment.tap)?.remove(segment);
  }
}

/** A member that is in the list already keeps its place: a worker that replaced a dead one may know of a change already. */
function changedList(
  { floodRemotes }: Segment,
  { added, removed }: Extract<SegmentUpdate, { kind: 'flood-list' }>,
): readonly number[] {
  const list = new Set(floodRemotes);
  for (const remote of removed) list.delete(remote);
  for (const remote of added) list.add(remote);
  return [...list];
}

/** The same VNI in two encapsulations gives two segments. One map with a small integer as key is faster than one map per encapsulation. */
function keyOf(encap: Encap, vni: number): number {
  return (encap << VNI_BITS) | vni;
}
