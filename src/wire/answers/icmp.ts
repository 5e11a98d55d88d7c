import { foldSum, pseudoHeaderSum, sumOctets } from '../checksum.ts';
import { ETHERNET_HEADER_BYTES, isGroupDestination, macHigh, macLow, SOURCE_MAC_AT, writeMac } from '../ethernet.ts';
import {
  type FrameHeaders,
  IPV4_DONT_FRAGMENT,
  IPV4_MIN_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_MIN_MTU_BYTES,
} from '../ip.ts';
import { MAX_VLAN_TAGS, VLAN_TAG_BYTES } from '../vlan.ts';
import { isIpv6Multicast, isIpv6Unspecified } from './nd.ts';

/**
 * The answers to a packet that is too large: ICMP "fragmentation needed" (RFC 792, RFC 1191 §4) and ICMPv6 "packet too big" (RFC 4443 §3.2),
 * built as the kernel does for its own tunnels (net/ipv4/ip_tunnel_core.c, iptunnel_pmtud_build_icmp and the IPv6 counterpart). They seem to
 * come from the destination of the packet: MACs and addresses are exchanged.
 *
 *      0                20     21     22         24          28
 *     +---------------+------+------+----------+-----------+-----------------------------+
 *     | IPv4 header   | 3    | 4    | checksum | 0 and MTU | the packet, as far as it fits|
 *     +---------------+------+------+----------+-----------+-----------------------------+
 *
 *      0                40     41     42         44          48
 *     +---------------+------+------+----------+-----------+-----------------------------+
 *     | IPv6 header   | 2    | 0    | checksum | MTU       | the packet, as far as it fits|
 *     +---------------+------+------+----------+-----------+-----------------------------+
 */

/** Every host accepts IP packets of this length (RFC 1122 §3.3.2): no answer is longer. */
const MAX_ICMP_PACKET_BYTES = 576;
/** The smallest MTU of IPv4 (RFC 791). An answer cannot give a smaller one. */
const MIN_IPV4_MTU_BYTES = 68;

/** The longest frame that `writeTooBig` creates, with the maximum number of tags that `locateHeaders` accepts. */
export const MAX_TOO_BIG_BYTES = ETHERNET_HEADER_BYTES + MAX_VLAN_TAGS * VLAN_TAG_BYTES + IPV6_MIN_MTU_BYTES;

const ICMP_HEADER_BYTES = 8;
const PROTOCOL = { icmp: 1, icmpv6: 58 } as const;
const DESTINATION_UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;
const PACKET_TOO_BIG = 2;

const FRAGMENT_OFFSET = 0x1fff;

/** Destination unreachable, source quench, redirect, time exceeded, parameter problem: errors are not answered (RFC 1122 §3.2.2). */
const ICMP_ERRORS = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 11) | (1 << 12);
/** ICMPv6 errors have types below this. A redirect is not answered either (RFC 4443 §2.4). */
const FIRST_ICMPV6_INFORMATION = 128;
const ICMPV6_REDIRECT = 137;

/** Extension headers that may stand before the transport header (RFC 8200 §4.1). */
const HEADER = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;
const MAX_EXTENSION_HEADERS = 8;

/**
 * Writes the answer to a frame whose packet is too large, at most MAX_TOO_BIG_BYTES, at `to`.
 *
 * @param at start of the frame
 * @param headers what `locateHeaders` found in it
 * @param mtuBytes largest packet that would have fitted
 * @returns its length; 0 if no answer is permitted: the packet is not IP, may be fragmented, has a group as source or destination, is an error or a
 * later fragment, or the MTU is too small to be given
 */
export function writeTooBig(view: DataView, to: number, at: number, headers: FrameHeaders, mtuBytes: number): number {
  const { ipVersion, networkAt, networkEnd } = headers;
  if (ipVersion === 0 || isGroupDestination(view, at)) return 0;
  const isAnswered =
    ipVersion === 4
      ? mtuBytes >= MIN_IPV4_MTU_BYTES && isAnsweredIpv4(view, networkAt, networkEnd)
      : mtuBytes >= IPV6_MIN_MTU_BYTES && isAnsweredIpv6(view, networkAt, networkEnd);
  if (!isAnswered) return 0;

  const linkBytes = networkAt - at;
  writeMac(view, to, macHigh(view, at + SOURCE_MAC_AT), macLow(view, at + SOURCE_MAC_AT));
  writeMac(view, to + SOURCE_MAC_AT, macHigh(view, at), macLow(view, at));
  // Tags and EtherType.
  for (let offset = 2 * SOURCE_MAC_AT; offset < linkBytes; offset += 2) {
    view.setUint16(to + offset, view.getUint16(at + offset));
  }
  const network = to + linkBytes;
  const packetBytes =
    ipVersion === 4
      ? writeIpv4(view, network, networkAt, networkEnd, mtuBytes)
      : writeIpv6(view, network, networkAt, networkEnd, mtuBytes);
  return linkBytes + packetBytes;
}

function isAnsweredIpv4(view: DataView, at: number, end: number): boolean {
  const fragment = view.getUint16(at + 6);
  if ((fragment & IPV4_DONT_FRAGMENT) === 0 || (fragment & FRAGMENT_OFFSET) !== 0) return false;
  const source = view.getUint32(at + 12);
  const first = source >>> 24;
  if (first === 0 || first === 127 || isIpv4Group(source) || isIpv4Group(view.getUint32(at + 16))) return false;
  if (view.getUint8(at + 9) !== PROTOCOL.icmp) return true;
  const icmpAt = at + (view.getUint8(at) & 0x0f) * 4;
  if (icmpAt >= end) return false;
  const type = view.getUint8(icmpAt);
  return type >= 32 || (ICMP_ERRORS & (1 << type)) === 0;
}

/** Multicast, or 255.255.255.255. @param address unsigned */
function isIpv4Group(address: number): boolean {
  return address >>> 28 === 0xe || address === 0xffff_ffff;
}

function isAnsweredIpv6(view: DataView, at: number, end: number): boolean {
  const source = at + 8;
  if (isIpv6Multicast(view, source) || isIpv6Multicast(view, at + 24)) return false;
  if (isIpv6Unspecified(view, source) || isIpv6Loopback(view, source)) return false;
  let type = view.getUint8(at + 6);
  let headerAt = at + IPV6_HEADER_BYTES;
  for (let i = 0; i < MAX_EXTENSION_HEADERS; i++) {
    if (type === PROTOCOL.icmpv6) return headerAt < end && isIcmpv6Information(view.getUint8(headerAt));
    const isFragment = type === HEADER.fragment;
    if (!isFragment && type !== HEADER.hopByHop && type !== HEADER.routing && type !== HEADER.destination) return true;
    if (headerAt + 8 > end || (isFragment && view.getUint16(headerAt + 2) >> 3 !== 0)) return false;
    type = view.getUint8(headerAt);
    headerAt += isFragment ? 8 : (view.getUint8(headerAt + 1) + 1) * 8;
  }
  return false;
}

function isIpv6Loopback(view: DataView, at: number): boolean {
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8)) === 0 && view.getInt32(at + 12) === 1;
}

function isIcmpv6Information(type: number): boolean {
  return type >= FIRST_ICMPV6_INFORMATION && type !== ICMPV6_REDIRECT;
}

/** Copies the packet from `from` to `end`. Returns the number of octets written. */
function writeIpv4(view: DataView, at: number, from: number, end: number, mtuBytes: number): number {
  const quoted = Math.min(end - from, MAX_ICMP_PACKET_BYTES - IPV4_MIN_HEADER_BYTES - ICMP_HEADER_BYTES);
  const bytes = IPV4_MIN_HEADER_BYTES + ICMP_HEADER_BYTES + quoted;
  view.setUint16(at, 0x4500);
  view.setUint16(at + 2, bytes);
  view.setUint16(at + 4, 0);
  view.setUint16(at + 6, IPV4_DONT_FRAGMENT);
  // The answer gets the TTL of the packet, as if it had crossed as many routers.
  view.setUint8(at + 8, view.getUint8(from + 8));
  view.setUint8(at + 9, PROTOCOL.icmp);
  view.setUint16(at + 10, 0);
  view.setUint32(at + 12, view.getUint32(from + 16));
  view.setUint32(at + 16, view.getUint32(from + 12));
  view.setUint16(at + 10, ~foldSum(sumOctets(view, at, IPV4_MIN_HEADER_BYTES)));
  const icmpAt = at + IPV4_MIN_HEADER_BYTES;
  view.setUint32(icmpAt, (DESTINATION_UNREACHABLE << 24) | (FRAGMENTATION_NEEDED << 16));
  view.setUint32(icmpAt + 4, Math.min(mtuBytes, 0xffff));
  copy(view, icmpAt + ICMP_HEADER_BYTES, from, quoted);
  view.setUint16(icmpAt + 2, ~foldSum(sumOctets(view, icmpAt, ICMP_HEADER_BYTES + quoted)));
  return bytes;
}

/** The hop limit, for the same reason. */
function writeIpv6(view: DataView, at: number, from: number, end: number, mtuBytes: number): number {
  const quoted = Math.min(end - from, IPV6_MIN_MTU_BYTES - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES);
  view.setUint32(at, 0x6000_0000);
  view.setUint16(at + 4, ICMP_HEADER_BYTES + quoted);
  view.setUint8(at + 6, PROTOCOL.icmpv6);
  view.setUint8(at + 7, view.getUint8(from + 7));
  copy(view, at + 8, from + 24, 16);
  copy(view, at + 24, from + 8, 16);
  const icmpAt = at + IPV6_HEADER_BYTES;
  view.setUint32(icmpAt, PACKET_TOO_BIG << 24);
  view.setUint32(icmpAt + 4, mtuBytes);
  copy(view, icmpAt + ICMP_HEADER_BYTES, from, quoted);
  const sum = pseudoHeaderSum(view, at, 6, PROTOCOL.icmpv6, ICMP_HEADER_BYTES + quoted);
  view.setUint16(icmpAt + 2, ~foldSum(sum + sumOctets(view, icmpAt, ICMP_HEADER_BYTES + quoted)));
  return IPV6_HEADER_BYTES + ICMP_HEADER_BYTES + quoted;
}

function copy(view: DataView, to: number, from: number, length: number): void {
  for (let offset = 0; offset < length; offset++) view.setUint8(to + offset, view.getUint8(from + offset));
}
