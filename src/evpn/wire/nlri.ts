import { ipBytes, macWords } from '../../lib/addresses.ts';
import { NUMBER_FORM, type RouteNumber } from '../../lib/route-numbers.ts';
import type { EvpnRoute, FloodRoute, MacRoute } from '../route.ts';
import { uint16, uint24, uint32 } from './octets.ts';

/**
 * The NLRI of a route, with its type and length (RFC 7432 §7):
 *
 *     type 2: 02 length  RD(8)  ESI(10)  tag(4)  30 MAC(6)  00|20|80 IP(0|4|16)  label(3)
 *     type 3: 03 length  RD(8)  tag(4)  20|80 originator(4|16)
 *
 * A label is the 24 bits of a VNI as they are (RFC 8365 §5.1.3).
 */
export function writeNlri(route: EvpnRoute): Uint8Array {
  const value = route.type === 2 ? macAdvertisement(route) : inclusiveMulticast(route);
  return Uint8Array.from([route.type, value.length, ...value]);
}

function macAdvertisement({ rd, esi, ethernetTag, mac, ip, label }: MacRoute): number[] {
  const { high, low } = macWords(mac);
  const address = ip === undefined ? [] : ipBytes(ip);
  return [
    ...routeDistinguisher(rd),
    ...Buffer.from(esi, 'hex'),
    ...uint32(ethernetTag),
    48,
    ...uint32(high),
    ...uint16(low),
    address.length * 8,
    ...address,
    ...uint24(label),
  ];
}

function inclusiveMulticast({ rd, ethernetTag, originator }: FloodRoute): number[] {
  const address = ipBytes(originator);
  return [...routeDistinguisher(rd), ...uint32(ethernetTag), address.length * 8, ...address];
}

/** RFC 4364 §4.2. */
function routeDistinguisher(rd: RouteNumber): number[] {
  return [0, NUMBER_FORM[rd.form], ...routeNumber(rd)];
}

/** The six octets that route distinguishers and route targets have in common. */
export function routeNumber({ form, admin, value }: RouteNumber): number[] {
  return form === 'as2' ? [...uint16(admin), ...uint32(value)] : [...uint32(admin), ...uint16(value)];
}
