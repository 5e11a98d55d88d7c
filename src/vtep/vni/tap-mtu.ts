import type { VniConfig } from '../../config/config.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { VtepError } from '../../lib/errors.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/ethernet.ts';
import { IPV6_MIN_MTU_BYTES } from '../../wire/ip.ts';
import { VLAN_TAG_BYTES } from '../../wire/vlan.ts';
import { maxFrameBytes, type Vni } from './vni.ts';

/**
 * How large the MTU of a TAP may be, and is. The underlay sets the limit. Nobody but `mtu=` takes a TAP below what IPv6 needs, though the
 * underlay carries less: the kernel would take IPv6 off it and off its bridge, and not give the addresses back. What then does not fit is
 * `oversize`, and its sender told where that is possible.
 */

/** The largest MTU whose packets a VNI's underlays carry, the smaller if they are two. */
export function mtuLimit(config: VniConfig, underlays: readonly Underlay[]): number {
  return maxFrameBytes(underlays) - ETHERNET_HEADER_BYTES - (config.innerVlan === 'pass' ? VLAN_TAG_BYTES : 0);
}

/** The same of a trunk: what all of its VNIs can carry, without the trunk's tag, which stays behind. */
export function trunkMtuLimit(vnis: readonly Pick<Vni, 'config' | 'underlays'>[]): number {
  const limits = vnis.map(({ config, underlays }) =>
    config.vlan === undefined ? Infinity : mtuLimit(config, underlays),
  );
  return Math.min(...limits);
}

/** The MTU that a TAP has by itself. @param limitBytes of its VNI, or of the trunk */
export function mtuWithin(limitBytes: number): number {
  return Math.max(limitBytes, IPV6_MIN_MTU_BYTES);
}

/** The MTU of a VNI's TAP. @throws VtepError if more was asked for than the underlays carry, and IPv6 needs */
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
