import { type IpAddress, ipBytes, ipFamily } from '../../lib/addresses.ts';
import type { MacRoute } from '../route.ts';

/**
 * Whether a MAC mobility sequence number is later than another, by serial comparison (RFC 1982 §3.2), since it may wrap (RFC 7432 §7.7). Numbers that
 * are 2^31 apart have no order there; here the greater one is later.
 */
export function isLater(one: number, other: number): boolean {
  const distance = (one - other) >>> 0;
  return distance < 0x8000_0000 ? distance !== 0 : distance > 0x8000_0000 ? false : one > other;
}

/** Negative, 0 or positive: IPv4 before IPv6, then by number. */
export function compareAddresses(one: IpAddress, other: IpAddress): number {
  if (one === other) return 0;
  const families = ipFamily(one) - ipFamily(other);
  if (families !== 0) return families;
  const [octets, others] = [ipBytes(one), ipBytes(other)];
  for (let i = 0; i < octets.length; i++) {
    const difference = (octets[i] as number) - (others[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** What the choice between routes for one MAC depends on. */
export type Preference = Pick<MacRoute, 'isSticky' | 'sequence' | 'nextHop'>;

/**
 * Whether a route is preferred to another one for the same MAC: sticky first, then the later sequence number, then the lower address of the VTEP
 * (RFC 7432 §15, §15.2). Both have a next hop.
 */
export function isPreferred(one: Preference, other: Preference): boolean {
  if (one.isSticky !== other.isSticky) return one.isSticky;
  if (one.sequence !== other.sequence) return isLater(one.sequence, other.sequence);
  return compareAddresses(one.nextHop as IpAddress, other.nextHop as IpAddress) < 0;
}
