import type { Underlay } from '../../host/underlay/underlay.ts';
import { changeLink } from '../../sys/netlink/links.ts';
import { IPV6_MIN_MTU_BYTES } from '../../wire/ip.ts';
import { mtuLimit, mtuWithin, trunkMtuLimit } from '../vni/tap-mtu.ts';
import type { Vni } from '../vni/vni.ts';
import { putSegment } from '../workers/worker-state.ts';
import type { HeldOnHost } from './held-on-host.ts';

/** Keeps the MTU of TAPs in step with that of their underlays. */
export class MtuFollower {
  readonly #held: Pick<HeldOnHost, 'netlink' | 'log' | 'vnis' | 'workers'>;

  constructor(held: Pick<HeldOnHost, 'netlink' | 'log' | 'vnis' | 'workers'>) {
    this.#held = held;
  }

  /** TAPs without `mtu=` follow the underlay. All TAPs get the new limit. */
  follow(underlay: Underlay): void {
    const vnis = this.#held.vnis.filter((vni) => vni.underlays.includes(underlay));
    for (const vni of vnis) {
      this.#held.workers.tellAll(putSegment(vni));
      const { mtuBytes, vlan } = vni.config;
      if (mtuBytes === undefined && vlan === undefined) this.#setMtu(vni, mtuLimit(vni.config, vni.underlays));
    }
    const onTrunk = vnis.find(({ config }) => config.vlan !== undefined);
    if (onTrunk) this.#setMtu(onTrunk, trunkMtuLimit(this.#held.vnis));
    warnIfNarrow(this.#held, underlay);
  }

  #setMtu({ config, link }: Vni, limitBytes: number): void {
    const mtuBytes = mtuWithin(limitBytes);
    if (!link) return;
    try {
      changeLink(this.#held.netlink, link.index, { mtuBytes }, `TAP "${config.tap}"`);
    } catch (err) {
      this.#held.log.warn({ event: 'mtu-not-followed', tap: config.tap, mtu: mtuBytes, err });
    }
  }
}

/** Warns if TAPs have a larger MTU than their underlay carries, which IPv6 requires. Not every sender of a lost frame can be told. */
export function warnIfNarrow({ vnis, log }: Pick<HeldOnHost, 'log' | 'vnis'>, underlay: Underlay): void {
  const limits = vnis
    .filter(({ config, underlays }) => config.mtuBytes === undefined && underlays.includes(underlay))
    .map(({ config, underlays }) => mtuLimit(config, underlays));
  const carried = Math.min(...limits);
  if (carried >= IPV6_MIN_MTU_BYTES) return;
  const { name: dev, mtuBytes: mtu } = underlay;
  log.warn({ event: 'underlay-narrow', dev, mtu, carried, tapMtu: IPV6_MIN_MTU_BYTES });
}
