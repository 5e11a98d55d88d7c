import type { Segment } from './segment.ts';

/** VLAN ids are 12 bits (IEEE 802.1Q §9.6). */
const VLANS = 4_096;

/** The segments of one trunk TAP, by VLAN. */
export class Trunk {
  readonly #byVlan: (Segment | undefined)[] = new Array<Segment | undefined>(VLANS).fill(undefined);

  /** @param vlan UNTAGGED to 4095 */
  byVlan(vlan: number): Segment | undefined {
    return this.#byVlan[vlan];
  }

  add(segment: Segment): void {
    this.#byVlan[segment.vlan] = segment;
  }

  remove(segment: Segment): void {
    // Another segment may have the VLAN already.
    if (this.#byVlan[segment.vlan] === segment) this.#byVlan[segment.vlan] = undefined;
  }
}
