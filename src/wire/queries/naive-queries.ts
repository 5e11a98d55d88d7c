/** Builds IGMP and MLD queries octet by octet. It is simple, not fast: the reference for their tests, which shares no code with them. */
import { naiveChecksum, octetsOfHex, octetsOfIpv4 } from '../answers/naive-neighbours.ts';

export const V1_IGMP = '11 00';
export const V2_IGMP = '11 64';

export interface IgmpParts {
  readonly source?: string;
  readonly destination?: string;
  readonly ttl?: number;
  readonly tos?: number;
  readonly protocol?: number;
  /** Flags and fragment offset. */
  readonly fragment?: string;
  /** IPv4 options, whole words. */
  readonly options?: string;
  /** Type and response code. */
  readonly head?: string;
  readonly group?: string;
  /** Octets after the group: none in versions 1 and 2. */
  readonly tail?: string;
  readonly checksumError?: number;
  readonly headerChecksumError?: number;
  readonly padding?: number;
}

export const ROUTER_ALERT = '94 04 00 00';

/** The general query of version 3 with the defaults of RFC 3376 by default. */
export function naiveIgmp(parts: IgmpParts = {}): number[] {
  const { source = '198.18.0.9', destination = '224.0.0.1', ttl = 1, tos = 0xc0, protocol = 2 } = parts;
  const { fragment = '40 00', options = ROUTER_ALERT, head = V2_IGMP, group = '0.0.0.0', tail = '02 7d 00 00' } = parts;
  const { checksumError = 0, headerChecksumError = 0, padding = 0 } = parts;
  const message = [...octetsOfHex(head), 0, 0, ...octetsOfIpv4(group), ...octetsOfHex(tail)];
  setChecksum(message, 2, naiveChecksum(message), checksumError);
  const optionOctets = octetsOfHex(options);
  const headerBytes = 20 + optionOctets.length;
  const total = headerBytes + message.length;
  const header = [0x40 + headerBytes / 4, tos, total >> 8, total & 0xff, 0, 0, ...octetsOfHex(fragment), ttl, protocol];
  header.push(0, 0, ...octetsOfIpv4(source), ...octetsOfIpv4(destination), ...optionOctets);
  setChecksum(header, 10, naiveChecksum(header), headerChecksumError);
  return [...header, ...message, ...Array(padding).fill(0x77)];
}

export interface MldParts {
  readonly source?: string;
  readonly destination?: string;
  readonly hopLimit?: number;
  /** The hop-by-hop header. Without it the message follows the IPv6 header. */
  readonly hopByHop?: string;
  readonly type?: number;
  readonly code?: number;
  readonly response?: string;
  readonly group?: string;
  /** Octets after the group: none in version 1. */
  readonly tail?: string;
  readonly checksumError?: number;
  readonly padding?: number;
}

export const LINK_LOCAL = 'fe800000 00000000 00000000 00000009';
export const ALL_NODES = 'ff020000 00000000 00000000 00000001';
export const NO_GROUP = '00000000 00000000 00000000 00000000';
/** Next header ICMPv6, router alert for MLD, padding of no octets. */
export const MLD_ALERT = '3a 00 05 02 0000 01 00';

/** The general query of version 2 with the defaults of RFC 3810 by default. */
export function naiveMld(parts: MldParts = {}): number[] {
  const { source = LINK_LOCAL, destination = ALL_NODES, hopLimit = 1, hopByHop = MLD_ALERT, type = 130 } = parts;
  const { code = 0, response = '2710', group = NO_GROUP, tail = '02 7d 00 00' } = parts;
  const { checksumError = 0, padding = 0 } = parts;
  const message = [type, code, 0, 0, ...octetsOfHex(`${response} 0000 ${group} ${tail}`)];
  const addresses = [...octetsOfHex(source), ...octetsOfHex(destination)];
  const pseudo = [...addresses, 0, 0, message.length >> 8, message.length & 0xff, 0, 0, 0, 58];
  setChecksum(message, 2, naiveChecksum([...pseudo, ...message]), checksumError);
  const options = octetsOfHex(hopByHop);
  const length = options.length + message.length;
  const header = [0x60, 0, 0, 0, length >> 8, length & 0xff, options.length > 0 ? 0 : 58, hopLimit, ...addresses];
  return [...header, ...options, ...message, ...Array(padding).fill(0x77)];
}

function setChecksum(octets: number[], at: number, [high = 0, low = 0]: readonly number[], error: number): void {
  octets.splice(at, 2, high ^ error, low);
}

/** The values that a reader returns for the numbers of a query. */
export function numbers(responseMs: number, robustness: number, intervalSeconds: number): object {
  return { responseMs, robustness, intervalSeconds };
}
