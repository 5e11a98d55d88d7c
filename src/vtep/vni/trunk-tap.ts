import type { VniConfig } from '../../config/config.ts';
import { VtepError } from '../../lib/errors.ts';
import { changeLink, findLink } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { mtuLimit, mtuWithin, trunkMtuLimit } from './tap-mtu.ts';
import type { Vni } from './vni.ts';

interface Placed {
  readonly config: VniConfig;
  readonly underlays: Vni['underlays'];
}

/**
 * The existing trunk, with an MTU that the new VNI can carry too. undefined: a TAP must be created, either for the VNI alone or as the trunk.
 *
 * @throws VtepError if the trunk was deleted meanwhile
 */
export function joinTrunk(
  netlink: NetlinkSocket,
  vnis: readonly Vni[],
  added: Placed,
): Pick<Vni, 'tap' | 'link' | 'elsewhere'> | undefined {
  if (added.config.vlan === undefined) return undefined;
  const member = vnis.find(({ config }) => config.vlan !== undefined);
  if (!member) return undefined;
  const object = `TAP "${member.config.tap}"`;
  const { tap, elsewhere } = member;
  // A TAP in another namespace: its MTU is set there.
  if (elsewhere) return { tap, link: undefined, elsewhere };
  const link = member.link && findLink(netlink, member.link.index);
  if (!link) {
    throw new VtepError('ERR_VTEP_TAP', {
      object,
      cause: 'the trunk was deleted, and cannot take another VNI',
      remedy: 'try again in some seconds: vtepd makes it again',
    });
  }
  const mtuBytes = mtuWithin(mtuLimit(added.config, added.underlays));
  if (mtuBytes >= link.mtuBytes) return { tap, link, elsewhere };
  changeLink(netlink, link.index, { mtuBytes }, object);
  return { tap, link: { ...link, mtuBytes }, elsewhere };
}

/** Raises the MTU of the trunk to what its other VNIs can carry, if the VNI that left required a lower one. @throws VtepError */
export function leaveTrunk(netlink: NetlinkSocket, vnis: readonly Vni[], left: Vni): void {
  const mtuBytes = mtuWithin(trunkMtuLimit(vnis));
  if (left.link && mtuLimit(left.config, left.underlays) < mtuBytes) {
    changeLink(netlink, left.link.index, { mtuBytes }, `TAP "${left.config.tap}"`);
  }
}
