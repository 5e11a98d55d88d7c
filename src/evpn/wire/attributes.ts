import { ipBytes } from '../../lib/addresses.ts';
import { NUMBER_FORM, type RouteTarget } from '../../lib/route-numbers.ts';
import type { EvpnRoute, PmsiTunnel } from '../route.ts';
import { routeNumber } from './nlri.ts';
import { uint16, uint24, uint32 } from './octets.ts';

/** RFC 4271 §4.3: the flags of an attribute. */
const TRANSITIVE = 0x40;
const OPTIONAL_TRANSITIVE = 0xc0;
const EXTENDED_LENGTH = 0x10;

/** Attribute types of RFC 4271 §5.1, RFC 4360 and RFC 6514 §5. */
const [ORIGIN, NEXT_HOP, EXTENDED_COMMUNITIES, PMSI_TUNNEL] = [1, 3, 16, 22];

/**
 * The path attributes of a route that this host announces, one array of octets each, in the order of their types: ORIGIN (IGP), NEXT_HOP, extended
 * communities, and of type 3 the PMSI tunnel. AS_PATH and LOCAL_PREF are the business of the speaker.
 *
 * NEXT_HOP may have 16 octets, unlike in BGP itself: GoBGP takes it for all families, and moves it to MP_REACH_NLRI.
 *
 * @throws Error if the route has no next hop
 */
export function writeAttributes(route: EvpnRoute): Uint8Array[] {
  const attributes = writeMinimalAttributes(route);
  const communities = extendedCommunities(route);
  if (communities.length > 0) attributes.push(attribute(OPTIONAL_TRANSITIVE, EXTENDED_COMMUNITIES, communities));
  if (route.type === 3 && route.pmsi) {
    attributes.push(attribute(OPTIONAL_TRANSITIVE, PMSI_TUNNEL, pmsiTunnel(route.pmsi)));
  }
  return attributes;
}

/** The attributes without which a speaker takes no path, for a withdrawal. */
export function writeMinimalAttributes({ nextHop }: EvpnRoute): Uint8Array[] {
  if (nextHop === undefined) throw new Error('a route without a next hop cannot be announced');
  return [attribute(TRANSITIVE, ORIGIN, [0]), attribute(TRANSITIVE, NEXT_HOP, [...ipBytes(nextHop)])];
}

function attribute(flags: number, type: number, value: readonly number[]): Uint8Array {
  if (value.length <= 0xff) return Uint8Array.from([flags, type, value.length, ...value]);
  return Uint8Array.from([flags | EXTENDED_LENGTH, type, ...uint16(value.length), ...value]);
}

/** Eight octets each: route targets, encapsulations (RFC 9012 §4.1), MAC mobility (RFC 7432 §7.7) if it says something. */
function extendedCommunities(route: EvpnRoute): number[] {
  const communities = [...route.targets.map(routeTarget), ...route.tunnels.map(encapsulation)];
  if (route.type === 2 && (route.sequence > 0 || route.isSticky)) {
    communities.push([0x06, 0x00, route.isSticky ? 1 : 0, 0, ...uint32(route.sequence)]);
  }
  return communities.flat();
}

/** RFC 4360 §4, RFC 5668. */
function routeTarget(target: RouteTarget): number[] {
  return [NUMBER_FORM[target.form], 0x02, ...routeNumber(target)];
}

function encapsulation(tunnel: number): number[] {
  return [0x03, 0x0c, 0, 0, 0, 0, ...uint16(tunnel)];
}

/** RFC 6514 §5: flags(1) type(1) label(3) identifier, here the address of the endpoint (RFC 7432 §11.2). */
function pmsiTunnel({ tunnel, label, endpoint }: PmsiTunnel): number[] {
  return [0, tunnel, ...uint24(label), ...(endpoint === undefined ? [] : ipBytes(endpoint))];
}
