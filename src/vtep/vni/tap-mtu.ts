import type { VniConfig } from '../../config/config.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { VtepError } from '../../lib/errors.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/ethernet.ts';
import { IPV6_MIN_MTU_BYTES } from '../../wire/ip.ts';
import { VLAN_TAG_BYTES } from '../../wire/vlan.ts';
import { maxFrameBytes, type Vni } from './vni.ts';

/**
 * The permitted and the default MTU of a TAP. The underlay sets the limit. Only `mtu=` takes a TAP below the minimum MTU of IPv6, also if the
 * underlay carries less: the kernel would otherwise remove IPv6 from the TAP and from its bridge, and not restore the addresses. A frame that does
 * not fit is then dropped as `oversize`, and its sender is told where that is possible.
 */

/** The largest MTU whose packets the underlays of a VNI carry. With two underlays the smaller value counts. */
export function mtuLimit(config: VniConfig, underlays: readonly Underlay[]): number {
  return maxFrameBytes(underlays) - ETHERNET_HEADER_BYTES - (config.innerVlan === 'pass' ? VLAN_TAG_BYTES : 0);
}

/** The same for a trunk: what all of its VNIs can carry, without the tag of the trunk, which does not cross the underlay. */
export function trunkMtuLimit(vnis: readonly Pick<Vni, 'config' | 'underlays'>[]): number {
  const limits = vnis.map(({ config, underlays }) =>
    config.vlan === undefined ? Infinity : mtuLimit(config, underlays),
  );
  return Math.min(...limits);
}

/** The default MTU of a TAP. @param limitBytes limit of its VNI, or of the trunk */
export function mtuWithin(limitBytes: number): number {
  return Math.max(limitBytes, IPV6_MIN_MTU_BYTES);
}

/** The MTU of the TAP of a VNI. @throws VtepError if `mtu=` asks for more than the underlays carry and more than IPv6 needs */
export function tapMtu(config: VniConfig, underlays: readonly [Underlay, ...Underlay[]]): number {
  const [underlay] = underlays;
  const limit = mtuLimit(config, underlays);
  const { mtuBytes = mtuWithin(limit) } = config;
  if (mtuBytes <= mtuWithin(limit)) return mtuBytes;
  const forIpv6 = limit < IPV6_MIN_MTU_BYTES ? `, or to ${IPV6_MIN_MTU_BYTES} if IPv6 is needed` : '';
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${config.vni},mtu=${mtuBytes}`,
    cause: `${underlay.name} has MTU ${underlay.mtuBytes}, which leaves at most ${limit} inside VXLAN`,
    remedy: `lower mtu= to ${limit}${forIpv6}, or raise the MTU of ${underlay.name}`,
  });
}
