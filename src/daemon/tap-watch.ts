import type { LinkEvent } from '../sys/links.ts';
import type { HeldOnHost } from './held-on-host.ts';
import { tapNumber, type Vni } from './vni.ts';
import { putSegment } from './worker-state.ts';

/** Keeps the VNIs in step with their TAPs, which others may change, move or delete. */
export class TapWatch {
  readonly #held: HeldOnHost;

  constructor(held: HeldOnHost) {
    this.#held = held;
  }

  /** A worker found a TAP gone; the others may have, and the kernel tells too. */
  tapGone(tap: number): void {
    const vni = this.#held.vnis.find((each) => tapNumber(each) === tap);
    if (vni?.link) this.onLink({ link: vni.link, deleted: true });
  }

  /** A trunk is the TAP of several VNIs. */
  onLink({ link, deleted }: LinkEvent): void {
    const vnis = this.#held.vnis.filter((vni) => vni.link && vni.tap.link.index === link.index);
    const [first] = vnis;
    if (!first) return;
    if (deleted) {
      const { tap, vni, vlan } = first.config;
      this.#held.log.error({ event: 'tap-gone', tap, ...(vlan === undefined && { vni }) });
      void this.#held.workers.orderAll({ kind: 'remove-tap', tap: tapNumber(first) });
    }
    for (const vni of vnis) {
      const before = vni.link;
      vni.link = deleted ? undefined : link;
      const isSame = link.up === before?.up && link.mtuBytes === before.mtuBytes && link.mac === before.mac;
      if (deleted || !isSame) this.#tellSegment(vni);
    }
  }

  #tellSegment(vni: Vni): void {
    void this.#held.workers.orderAll(putSegment(vni));
  }
}
