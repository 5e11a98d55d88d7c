import type { VniConfig } from '../../config/config.ts';
import type { Logger } from '../../observe/log.ts';
import { warnIfNarrow } from '../upkeep/mtu-follower.ts';
import { mtuWithin, trunkMtuLimit } from '../vni/tap-mtu.ts';
import type { Underlays } from '../vni/underlays.ts';
import { reachOf, type Vni } from '../vni/vni.ts';
import type { Vnis } from '../vni/vnis.ts';
import { setUpVni, type VniGround } from './vni-setup.ts';

export interface OpenerGround extends Omit<VniGround, 'vnis'> {
  readonly log: Logger;
  readonly registry: Vnis;
  readonly opened: Underlays;
}

/** Creates VNIs on the host and adds them to the list. Each VNI is created completely or not at all. No worker is told. */
export class VniOpener {
  readonly #ground: OpenerGround;

  constructor(ground: OpenerGround) {
    this.#ground = ground;
  }

  /** Creates all VNIs of a start. @throws VtepError; the VNIs before the refused one are in the list then */
  openAll(configs: readonly VniConfig[]): void {
    const { log, registry, opened } = this.#ground;
    const placed = opened.place(configs);
    const trunkMtuBytes = mtuWithin(trunkMtuLimit(placed));
    for (const { config, underlays } of placed) {
      const { tap, underlay } = this.open(config, underlays, trunkMtuBytes);
      log.debug({ event: 'vni-added', vni: config.vni, tap: config.tap, mtu: tap.link.mtuBytes, dev: underlay.name });
    }
    for (const underlay of opened.list) warnIfNarrow({ log, vnis: registry.list }, underlay);
  }

  /**
   * @param underlays the underlays of the VNI, all of them open
   * @param trunkMtuBytes MTU of the trunk, if the VNI is its first
   * @throws VtepError naming the VNI or its TAP
   */
  open(config: VniConfig, underlays: Vni['underlays'], trunkMtuBytes = Infinity): Vni {
    const { registry, opened, fdb } = this.#ground;
    return registry.add((index) => {
      fdb.nameSegment(index, config.vni);
      const reach = reachOf(opened.list, underlays[0]);
      const place = { config, index, underlays, reach, trunkMtuBytes };
      return setUpVni({ ...this.#ground, vnis: registry.list }, place);
    });
  }
}
