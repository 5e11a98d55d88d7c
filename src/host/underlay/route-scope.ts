import { type IpAddress, isMulticastIp } from '../../lib/addresses.ts';
import type { RouteFrom } from '../../sys/netlink/routes.ts';
import type { Underlay } from './underlay.ts';

/**
 * The selectors of a route lookup, in addition to the address. They are those of the sockets of an underlay, since rules may match them.
 *
 * In a VRF the lookup names the VRF. Groups, and all of IPv6, leave a VRF by the interface itself, and for the VRF as a whole the kernel knows
 * no route to a group of IPv6. With a source it would not hold the route to that interface, as it holds the socket.
 */
export function routeFrom(
  { family, link, vrf, source, port }: Pick<Underlay, 'family' | 'link' | 'vrf' | 'source' | 'port'>,
  destination: IpAddress,
): RouteFrom {
  // With a source the kernel sends to a group by the interface of that source, and has a route wherever there is none.
  if (!vrf) return { source: isMulticastIp(destination) ? undefined : source?.address, udpPort: port };
  return { device: family === 6 || isMulticastIp(destination) ? link.index : vrf.index, udpPort: port };
}
