import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import type { Link } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { findRoute, type Route } from '../../sys/netlink/routes.ts';
import { SysError } from '../../sys/sys-error.ts';
import { routeFrom } from './route-scope.ts';
import type { Underlay } from './underlay.ts';

/**
 * The MTU of the path to a VTEP. The kernel alone knows it: what ICMP told it (RFC 1191, RFC 8201), until that expires, and what routes say. It
 * applies to all workers, so the kernel is asked, some microseconds for each path. Workers only remember what the kernel refused.
 */

/** The MTU of a route. @param links of the host by their index */
export function routeMtu(route: Route, links: ReadonlyMap<number, Pick<Link, 'mtuBytes'>>): number {
  return Math.min(route.mtuBytes ?? Infinity, links.get(route.interfaceIndex)?.mtuBytes ?? Infinity);
}

/** Returns the MTU of the path to an address if it is known to be narrower than its underlay, else null. */
export function narrowPaths(
  netlink: NetlinkSocket,
  links: ReadonlyMap<number, Link>,
  underlays: readonly Pick<Underlay, 'family' | 'link' | 'mtuBytes' | 'vrf' | 'source' | 'port'>[],
): (address: IpAddress) => number | null {
  return (address) => {
    const ofFamily = underlays.filter(({ family }) => family === ipFamily(address));
    const route = pathTo(netlink, address, ofFamily);
    if (!route) return null;
    const underlay = ofFamily.find(({ link }) => link.index === route.interfaceIndex) ?? ofFamily[0];
    const mtuBytes = routeMtu(route, links);
    return underlay && mtuBytes < underlay.mtuBytes ? mtuBytes : null;
  };
}

/** The route of the first underlay that has one. A path without an answer of the kernel is not known to be narrow. */
function pathTo(
  netlink: NetlinkSocket,
  address: IpAddress,
  underlays: readonly Pick<Underlay, 'family' | 'link' | 'vrf' | 'source' | 'port'>[],
): Route | undefined {
  try {
    for (const underlay of underlays) {
      const route = findRoute(netlink, address, routeFrom(underlay, address));
      if (route) return route;
    }
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
  return undefined;
}
