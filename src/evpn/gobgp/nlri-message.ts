import { type IpAddress, ipBytes, type MacAddress, parseIp, parseMac } from '../../lib/addresses.ts';
import type { RouteDistinguisher } from '../../lib/route-numbers.ts';
import { type FloodRoute, type MacRoute, NO_ESI } from '../route.ts';
import type { Dialect } from '../speaker.ts';
import { readChoice } from './dialect.ts';
import { Message, Unreadable } from './message.ts';

/** What the NLRI says: the route without its attributes. */
export type MacNlri = Pick<MacRoute, 'type' | 'rd' | 'ethernetTag' | 'esi' | 'mac' | 'ip' | 'label'>;
export type FloodNlri = Pick<FloodRoute, 'type' | 'rd' | 'ethernetTag' | 'originator'>;
/** A type that a VTEP does not use, by its number in RFC 7432 §7 or later; 0: unknown. */
export interface OtherNlri {
  readonly type: 0 | 1 | 4 | 5 | 9;
}
export type Nlri = MacNlri | FloodNlri | OtherNlri;

/** By the field of the NLRI. */
const OTHER_TYPES: Readonly<Record<number, OtherNlri['type']>> = { 5: 1, 8: 4, 9: 5, 10: 9 };
const [MAC_ADVERTISEMENT, INCLUSIVE_MULTICAST] = [6, 7];

/** @throws Unreadable if the route is of type 2 or 3 and cannot be read */
export function readNlri(dialect: Dialect, octets: Uint8Array): Nlri {
  const choice = readChoice(dialect, 'nlri', octets);
  if (!choice) return { type: 0 };
  const { field } = choice;
  if (field === MAC_ADVERTISEMENT) return macAdvertisement(dialect, new Message(choice.octets));
  if (field === INCLUSIVE_MULTICAST) return inclusiveMulticast(dialect, new Message(choice.octets));
  return { type: OTHER_TYPES[field] ?? 0 };
}

/** EVPNMACIPAdvertisementRoute {rd = 1, esi = 2, ethernet_tag = 3, mac_address = 4, ip_address = 5, labels = 6}. */
function macAdvertisement(dialect: Dialect, message: Message): MacNlri {
  const label = message.firstNumber(6);
  if (label === undefined || label > 0xff_ffff) throw new Unreadable('a MAC route has no label of 24 bits');
  return {
    type: 2,
    rd: readDistinguisher(dialect, message.bytes(1)),
    esi: readEsi(message.message(2)),
    ethernetTag: message.number(3),
    mac: readMac(message.text(4)),
    ip: readIp(message.text(5)),
    label,
  };
}

/** EVPNInclusiveMulticastEthernetTagRoute {rd = 1, ethernet_tag = 2, ip_address = 3}. */
function inclusiveMulticast(dialect: Dialect, message: Message): FloodNlri {
  const originator = readIp(message.text(3));
  if (originator === undefined) throw new Unreadable('a flood route has no originator');
  const rd = readDistinguisher(dialect, message.bytes(1));
  return { type: 3, rd, ethernetTag: message.number(2), originator };
}

const RD_FORMS = { 1: 'as2', 2: 'ipv4', 3: 'as4' } as const;

/** RouteDistinguisher… {admin = 1, assigned = 2}. The admin of RouteDistinguisherIPAddress is text. */
function readDistinguisher(dialect: Dialect, octets: Uint8Array | undefined): RouteDistinguisher {
  const choice = octets && readChoice(dialect, 'rd', octets);
  const form = RD_FORMS[choice?.field as keyof typeof RD_FORMS];
  if (!choice || !form) throw new Unreadable('a route distinguisher has an unknown form');
  const message = new Message(choice.octets);
  return { form, admin: form === 'ipv4' ? readIpv4(message.text(1)) : message.number(1), value: message.number(2) };
}

/** EthernetSegmentIdentifier {type = 1, value = 2}; the value has 9 octets, or none where all are zero. */
function readEsi(message: Message | undefined): string {
  const value = message?.bytes(2) ?? new Uint8Array(0);
  if (!message || value.length === 0) return NO_ESI;
  if (value.length !== 9) throw new Unreadable('an Ethernet segment identifier has not ten octets');
  return Buffer.from([message.number(1), ...value]).toString('hex');
}

function readMac(text: string): MacAddress {
  const mac = parseMac(text);
  if (mac === undefined) throw new Unreadable('a MAC cannot be read');
  return mac;
}

/** What GoBGP writes for an address that is not there: Go's text of a nil `net.IP`, and of a zero `netip.Addr`. */
const NO_ADDRESS: ReadonlySet<string> = new Set(['', '<nil>', 'invalid IP']);

/** undefined: there is none. @throws Unreadable */
export function readIp(text: string): IpAddress | undefined {
  if (NO_ADDRESS.has(text)) return undefined;
  const ip = parseIp(text);
  if (ip === undefined) throw new Unreadable('an address cannot be read');
  return ip;
}

/** As a number of 32 bits. @throws Unreadable */
export function readIpv4(text: string): number {
  const octets = ipBytes(readIp(text) ?? noAddress());
  if (octets.length !== 4) throw new Unreadable('an address is not one of IPv4');
  return new DataView(octets.buffer).getUint32(0);
}

function noAddress(): never {
  throw new Unreadable('an address is missing');
}
