import { type IpAddress, ipBytes, ipFamily } from '../lib/addresses.ts';
import { foldSum, pseudoHeaderSum, sumOctets } from './checksum.ts';
import { IPV4_MIN_HEADER_BYTES, IPV6_HEADER_BYTES, UDP_CHECKSUM_AT, UDP_HEADER_BYTES } from './ip.ts';

/**
 * The IP and UDP headers of a datagram, built from its known properties. The real headers are written and removed by the kernel, and vtepd does not
 * see them.
 */
export interface OuterHeaders {
  readonly source: IpAddress;
  /** Of the same family. */
  readonly destination: IpAddress;
  readonly sourcePort: number;
  readonly port: number;
  /** TOS octet or traffic class. */
  readonly tos: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** DF bit, IPv4 only. */
  readonly dontFragment: boolean;
}

const MAX_LENGTH_FIELD = 0xffff;
const UDP = 17;
const DONT_FRAGMENT = 0x4000;

/**
 * The headers of a datagram with this payload, 28 or 48 octets. If the payload is longer than the length fields can express, they hold their maximum.
 * There is no UDP checksum over IPv4; over IPv6 it is required (RFC 8200 §8.1).
 *
 * @param length of the payload; `payload` may be only its beginning
 */
export function outerHeaders(outer: OuterHeaders, payload: Uint8Array, length: number): Uint8Array {
  const isIpv4 = ipFamily(outer.source) === 4;
  const udpAt = isIpv4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES;
  const octets = new Uint8Array(udpAt + UDP_HEADER_BYTES);
  const view = new DataView(octets.buffer);
  const longest = MAX_LENGTH_FIELD - (isIpv4 ? IPV4_MIN_HEADER_BYTES : 0);
  const udpLength = Math.min(UDP_HEADER_BYTES + length, longest);
  view.setUint16(udpAt, outer.sourcePort);
  view.setUint16(udpAt + 2, outer.port);
  view.setUint16(udpAt + 4, udpLength);
  if (isIpv4) writeIpv4(octets, view, outer, udpAt + udpLength);
  else {
    writeIpv6(octets, view, outer, udpLength);
    if (UDP_HEADER_BYTES + payload.length === udpLength) writeUdpChecksum(view, udpAt, payload);
  }
  return octets;
}

function writeIpv4(octets: Uint8Array, view: DataView, outer: OuterHeaders, length: number): void {
  view.setUint16(0, 0x4500 | outer.tos);
  view.setUint16(2, length);
  view.setUint16(6, outer.dontFragment ? DONT_FRAGMENT : 0);
  view.setUint8(8, outer.ttl);
  view.setUint8(9, UDP);
  octets.set(ipBytes(outer.source), 12);
  octets.set(ipBytes(outer.destination), 16);
  view.setUint16(10, ~foldSum(sumOctets(view, 0, IPV4_MIN_HEADER_BYTES)));
}

function writeIpv6(octets: Uint8Array, view: DataView, outer: OuterHeaders, length: number): void {
  view.setUint32(0, 0x6000_0000 | (outer.tos << 20));
  view.setUint16(4, length);
  view.setUint8(6, UDP);
  view.setUint8(7, outer.ttl);
  octets.set(ipBytes(outer.source), 8);
  octets.set(ipBytes(outer.destination), 24);
}

function writeUdpChecksum(view: DataView, udpAt: number, payload: Uint8Array): void {
  const body = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const pseudo = pseudoHeaderSum(view, 0, 6, UDP, UDP_HEADER_BYTES + payload.length);
  const sum = foldSum(pseudo + sumOctets(view, udpAt, UDP_HEADER_BYTES) + foldSum(sumOctets(body, 0, payload.length)));
  const checksum = ~sum & 0xffff;
  view.setUint16(udpAt + UDP_CHECKSUM_AT, checksum === 0 ? 0xffff : checksum);
}
