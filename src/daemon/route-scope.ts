import { type IpAddress, isMulticastIp } from '../lib/addresses.ts';
import type { Underlay } from './underlay.ts';

/**
 * What the route to an address is asked for by, as the sockets of an underlay have it: outside of a VRF nothing, in one the VRF. Groups, and all
 * of IPv6, leave a VRF by the interface itself, and for the VRF as a whole the kernel knows no route to a group of IPv6.
 */
export function routeScope(
  { family, link, vrf }: Pick<Underlay, 'family' | 'link' | 'vrf'>,
  destination: IpAddress,
): number | undefined {
  if (!vrf) return undefined;
  return family === 6 || isMulticastIp(destination) ? link.index : vrf.index;
}
