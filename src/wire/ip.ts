import { ETHERNET_HEADER_BYTES, ETHERTYPE } from './ethernet.ts';
import { MAX_VLAN_TAGS, VLAN_TAG_BYTES } from './vlan.ts';

/** Finds the IP and transport headers of an Ethernet frame, for the flow hash and the offloads. */

export const IP_PROTOCOL = { tcp: 6, udp: 17 } as const;

/** Offsets from the transport header to its checksum field (RFC 9293 §3.1, RFC 768). */
export const TCP_CHECKSUM_AT = 16;
export const UDP_CHECKSUM_AT = 6;

/** Offset of the TCP flags, and the flags that the offloads handle (RFC 9293 §3.1, RFC 3168 §6.1). */
export const TCP_FLAGS_AT = 13;
export const TCP_FLAG = { fin: 0x01, psh: 0x08, ack: 0x10, cwr: 0x80 } as const;

export const TCP_MIN_HEADER_BYTES = 20;
export const UDP_HEADER_BYTES = 8;

export const IPV4_MIN_HEADER_BYTES = 20;
/** In the word of flags and fragment offset. */
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV6_HEADER_BYTES = 40;
/**
 * Every IPv6 link has at least this MTU (RFC 8200 §5). If an interface has less, the kernel removes IPv6 and all its addresses from it, and does not
 * restore the addresses.
 */
export const IPV6_MIN_MTU_BYTES = 1_280;

/** Filled by `locateHeaders`. The caller owns and reuses it. Offsets are from the start of the buffer. */
export interface FrameHeaders {
  /** 4, 6, or 0 if the frame is not IP or ends inside the IP header. */
  ipVersion: 0 | 4 | 6;
  networkAt: number;
  /** End of the IP packet by its own length field, never beyond the frame. The rest of the frame is Ethernet padding. */
  networkEnd: number;
  /** IP_PROTOCOL.tcp or .udp if that header is complete, not fragmented and directly after the IP header; else 0. */
  transport: number;
  transportAt: number;
}

export function newFrameHeaders(): FrameHeaders {
  return { ipVersion: 0, networkAt: 0, networkEnd: 0, transport: 0, transportAt: 0 };
}

/** Describes the frame of `length` octets at `at` in `headers`. Skips up to three VLAN tags. Never throws, whatever the octets are. */
export function locateHeaders(view: DataView, at: number, length: number, headers: FrameHeaders): void {
  headers.ipVersion = 0;
  headers.transport = 0;
  const end = at + length;
  let networkAt = at + ETHERNET_HEADER_BYTES;
  if (networkAt > end) return;
  let type = view.getUint16(networkAt - 2);
  for (let tags = 0; type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan; tags++) {
    networkAt += VLAN_TAG_BYTES;
    if (tags === MAX_VLAN_TAGS || networkAt > end) return;
    type = view.getUint16(networkAt - 2);
  }
  headers.networkAt = networkAt;
  if (type === ETHERTYPE.ipv4) locateIpv4(view, networkAt, end, headers);
  else if (type === ETHERTYPE.ipv6) locateIpv6(view, networkAt, end, headers);
}

function locateIpv4(view: DataView, at: number, end: number, headers: FrameHeaders): void {
  if (at + IPV4_MIN_HEADER_BYTES > end) return;
  const first = view.getUint8(at);
  const headerBytes = (first & 0x0f) * 4;
  const networkEnd = at + view.getUint16(at + 2);
  if (first >> 4 !== 4 || headerBytes < IPV4_MIN_HEADER_BYTES || at + headerBytes > networkEnd || networkEnd > end)
    return;
  headers.ipVersion = 4;
  headers.networkEnd = networkEnd;
  const isFragment = (view.getUint16(at + 6) & 0x3fff) !== 0;
  if (!isFragment) locateTransport(view, view.getUint8(at + 9), at + headerBytes, headers);
}

function locateIpv6(view: DataView, at: number, end: number, headers: FrameHeaders): void {
  if (at + IPV6_HEADER_BYTES > end || view.getUint8(at) >> 4 !== 6) return;
  const networkEnd = at + IPV6_HEADER_BYTES + view.getUint16(at + 4);
  if (networkEnd > end) return;
  headers.ipVersion = 6;
  headers.networkEnd = networkEnd;
  // Extension headers, including fragment headers, are not parsed: such packets are rare, and only their addresses are used.
  locateTransport(view, view.getUint8(at + 6), at + IPV6_HEADER_BYTES, headers);
}

function locateTransport(view: DataView, protocol: number, at: number, headers: FrameHeaders): void {
  const available = headers.networkEnd - at;
  if (protocol === IP_PROTOCOL.tcp) {
    if (available < TCP_MIN_HEADER_BYTES) return;
    const headerBytes = tcpHeaderBytes(view, at);
    if (headerBytes < TCP_MIN_HEADER_BYTES || headerBytes > available) return;
  } else if (protocol !== IP_PROTOCOL.udp || available < UDP_HEADER_BYTES) {
    return;
  }
  headers.transport = protocol;
  headers.transportAt = at;
}

/**
 * Whether routers must not fragment the packet: always for IPv6, never for a frame that is not IP. @param headers what `locateHeaders` found in it
 */
export function mayNotFragment(view: DataView, { ipVersion, networkAt }: FrameHeaders): boolean {
  return ipVersion === 6 || (ipVersion === 4 && (view.getUint16(networkAt + 6) & IPV4_DONT_FRAGMENT) !== 0);
}

/** Length of the TCP header at `at` by its data offset, options included. */
export function tcpHeaderBytes(view: DataView, at: number): number {
  return (view.getUint8(at + 12) >> 4) * 4;
}
