import { foldSum, pseudoHeaderSum, sumOctets } from '../checksum.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE, macHigh, macLow, SOURCE_MAC_AT, writeMac } from '../ethernet.ts';
import { IPV6_HEADER_BYTES } from '../ip.ts';

/**
 * Neighbour solicitations and advertisements of IPv6 (RFC 4861 §4.3, §4.4) over a caller's buffer. `at` is the offset of the frame's first
 * octet; the caller has checked with `ndType` that the message is complete and well-formed.
 *
 *      0          14                 54     55     56         58      62       78
 *     +----------+------------------+------+------+----------+-------+--------+------------------------------+
 *     | Ethernet | IPv6, hops 255   | type | code | checksum | flags | target | options: type, length/8, …   |
 *     +----------+------------------+------+------+----------+-------+--------+------------------------------+
 */

export const ND_TYPE = { none: 0, solicitation: 135, advertisement: 136 } as const;

/** Options that carry the MAC of the sender in a solicitation, and the MAC of the target in an advertisement. */
export const ND_OPTION = { sourceMac: 1, targetMac: 2 } as const;

/** The advertisement of `writeAdvertisement`: 24 octets and one option of 8. */
export const ADVERTISEMENT_FRAME_BYTES = 86;

const NETWORK_AT = ETHERNET_HEADER_BYTES;
const PAYLOAD_LENGTH_AT = NETWORK_AT + 4;
const NEXT_HEADER_AT = NETWORK_AT + 6;
const HOP_LIMIT_AT = NETWORK_AT + 7;
const IPV6_SOURCE_AT = NETWORK_AT + 8;
const IPV6_DESTINATION_AT = NETWORK_AT + 24;
const ICMP_AT = NETWORK_AT + IPV6_HEADER_BYTES;
const CHECKSUM_AT = ICMP_AT + 2;
const FLAGS_AT = ICMP_AT + 4;
const TARGET_AT = ICMP_AT + 8;
const OPTIONS_AT = ICMP_AT + 24;

const ICMPV6 = 58;
/** The hop limit of a packet that no router has forwarded (RFC 4861 §7.1). */
const HOP_LIMIT = 255;
const MIN_MESSAGE_BYTES = 24;
/** Options have units of eight octets. An option with an Ethernet address has one unit. */
const OPTION_UNIT_BYTES = 8;

const FLAG = { router: 0x8000_0000, solicited: 0x4000_0000, override: 0x2000_0000 } as const;

/** ND_TYPE.solicitation or .advertisement if the frame is untagged and valid according to RFC 4861 §7.1, else ND_TYPE.none. */
export function ndType(view: DataView, at: number, length: number): number {
  if (length < OPTIONS_AT || view.getUint16(at + ETHERNET_HEADER_BYTES - 2) !== ETHERTYPE.ipv6) return ND_TYPE.none;
  if (view.getUint8(at + NEXT_HEADER_AT) !== ICMPV6 || view.getUint8(at + HOP_LIMIT_AT) !== HOP_LIMIT)
    return ND_TYPE.none;
  const type = view.getUint8(at + ICMP_AT);
  if (type !== ND_TYPE.solicitation && type !== ND_TYPE.advertisement) return ND_TYPE.none;
  const messageBytes = view.getUint16(at + PAYLOAD_LENGTH_AT);
  if (messageBytes < MIN_MESSAGE_BYTES || ICMP_AT + messageBytes > length) return ND_TYPE.none;
  if (view.getUint8(at + NETWORK_AT) >> 4 !== 6 || view.getUint8(at + ICMP_AT + 1) !== 0) return ND_TYPE.none;
  if (isIpv6Multicast(view, at + TARGET_AT) || !hasValidOptions(view, at, messageBytes)) return ND_TYPE.none;
  const sum =
    pseudoHeaderSum(view, at + NETWORK_AT, 6, ICMPV6, messageBytes) + sumOctets(view, at + ICMP_AT, messageBytes);
  return foldSum(sum) === 0xffff ? type : ND_TYPE.none;
}

/** Offset of the IPv6 address of the sender. */
export function ndSenderAt(at: number): number {
  return at + IPV6_SOURCE_AT;
}

/** Offset of the address that is requested or advertised. */
export function ndTargetAt(at: number): number {
  return at + TARGET_AT;
}

/** Offset of the address that the sender claims: its own address in a request, or the address that it probes (RFC 4862 §5.4.2) or advertises. */
export function ndClaimAt(view: DataView, at: number): number {
  const isQuestion = view.getUint8(at + ICMP_AT) === ND_TYPE.solicitation;
  return isQuestion && !isIpv6Unspecified(view, ndSenderAt(at)) ? ndSenderAt(at) : ndTargetAt(at);
}

/** Whether an option of this type holds the source MAC of the frame. So no station can announce an address for another one. */
export function hasOwnMac(view: DataView, at: number, option: number): boolean {
  const end = at + ICMP_AT + view.getUint16(at + PAYLOAD_LENGTH_AT);
  for (let next = at + OPTIONS_AT; next < end; next += view.getUint8(next + 1) * OPTION_UNIT_BYTES) {
    if (view.getUint8(next) !== option) continue;
    return (
      macHigh(view, next + 2) === macHigh(view, at + SOURCE_MAC_AT) &&
      macLow(view, next + 2) === macLow(view, at + SOURCE_MAC_AT)
    );
  }
  return false;
}

/** Whether an advertisement has the router flag. */
export function isFromRouter(view: DataView, at: number): boolean {
  return (view.getUint32(at + FLAGS_AT) & FLAG.router) !== 0;
}

/** Whether an advertisement may replace what was known. Advertisements of anycast addresses and of proxies may not (RFC 4861 §4.4). */
export function isOverride(view: DataView, at: number): boolean {
  return (view.getUint32(at + FLAGS_AT) & FLAG.override) !== 0;
}

/** Whether the address at `at`, 16 octets, is multicast. */
export function isIpv6Multicast(view: DataView, at: number): boolean {
  return view.getUint8(at) === 0xff;
}

/** Whether the address at `at` is unspecified: the station has no address yet (RFC 4862 §5.4.2). */
export function isIpv6Unspecified(view: DataView, at: number): boolean {
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) === 0;
}

/** Writes the answer to the solicitation at `from`, from the station with the given MAC: ADVERTISEMENT_FRAME_BYTES at `to`. */
export function writeAdvertisement(
  view: DataView,
  to: number,
  from: number,
  high: number,
  low: number,
  isRouter: boolean,
): void {
  const messageBytes = ADVERTISEMENT_FRAME_BYTES - ICMP_AT;
  writeMac(view, to, macHigh(view, from + SOURCE_MAC_AT), macLow(view, from + SOURCE_MAC_AT));
  writeMac(view, to + SOURCE_MAC_AT, high, low);
  view.setUint16(to + ETHERNET_HEADER_BYTES - 2, ETHERTYPE.ipv6);
  view.setUint32(to + NETWORK_AT, 0x6000_0000);
  view.setUint16(to + PAYLOAD_LENGTH_AT, messageBytes);
  view.setUint8(to + NEXT_HEADER_AT, ICMPV6);
  view.setUint8(to + HOP_LIMIT_AT, HOP_LIMIT);
  copyAddress(view, to + IPV6_SOURCE_AT, from + TARGET_AT);
  copyAddress(view, to + IPV6_DESTINATION_AT, from + IPV6_SOURCE_AT);
  view.setUint32(to + ICMP_AT, ND_TYPE.advertisement << 24);
  view.setUint32(to + FLAGS_AT, FLAG.solicited + FLAG.override + (isRouter ? FLAG.router : 0));
  copyAddress(view, to + TARGET_AT, from + TARGET_AT);
  view.setUint16(to + OPTIONS_AT, (ND_OPTION.targetMac << 8) | 1);
  writeMac(view, to + OPTIONS_AT + 2, high, low);
  const sum =
    pseudoHeaderSum(view, to + NETWORK_AT, 6, ICMPV6, messageBytes) + sumOctets(view, to + ICMP_AT, messageBytes);
  view.setUint16(to + CHECKSUM_AT, ~foldSum(sum));
}

/** Whether all options have a length, and end where the message ends (RFC 4861 §4.6). */
function hasValidOptions(view: DataView, at: number, messageBytes: number): boolean {
  const end = at + ICMP_AT + messageBytes;
  let next = at + OPTIONS_AT;
  while (next + OPTION_UNIT_BYTES <= end) {
    const units = view.getUint8(next + 1);
    if (units === 0) return false;
    next += units * OPTION_UNIT_BYTES;
  }
  return next === end;
}

function copyAddress(view: DataView, to: number, from: number): void {
  for (let offset = 0; offset < 16; offset += 4) view.setInt32(to + offset, view.getInt32(from + offset));
}
