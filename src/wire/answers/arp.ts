import { ETHERNET_HEADER_BYTES, ETHERTYPE, macHigh, macLow, SOURCE_MAC_AT, writeMac } from '../ethernet.ts';

/**
 * ARP for IPv4 over Ethernet (RFC 826) over a caller's buffer. `at` is the offset of the frame's first octet; the caller has checked with
 * `isArp` that the packet is complete and well-formed.
 *
 *      0          14     16     18     19     20     22          28          32          38          42
 *     +----------+------+------+------+------+------+-----------+-----------+-----------+-----------+
 *     | Ethernet | htyp | ptyp | hlen | plen | oper | sender MAC| sender IP | target MAC| target IP |
 *     +----------+------+------+------+------+------+-----------+-----------+-----------+-----------+
 */

/** An ARP frame without Ethernet padding. */
export const ARP_FRAME_BYTES = 42;

export const ARP_OPERATION = { request: 1, reply: 2 } as const;

const HARDWARE_TYPE_AT = ETHERNET_HEADER_BYTES;
const LENGTHS_AT = 18;
const OPERATION_AT = 20;
const SENDER_MAC_AT = 22;
const SENDER_IP_AT = 28;
const TARGET_MAC_AT = 32;
const TARGET_IP_AT = 38;

/** Hardware type Ethernet, protocol type IPv4; address lengths 6 and 4. */
const ETHERNET_IPV4 = 0x0001_0800;
const LENGTHS = 0x0604;

/**
 * Whether the frame is a complete, untagged ARP request or reply whose sender MAC is the source MAC of the frame. So no station can announce an
 * address for another one.
 */
export function isArp(view: DataView, at: number, length: number): boolean {
  return (
    isAnyArp(view, at, length) &&
    macHigh(view, at + SENDER_MAC_AT) === macHigh(view, at + SOURCE_MAC_AT) &&
    macLow(view, at + SENDER_MAC_AT) === macLow(view, at + SOURCE_MAC_AT)
  );
}

/**
 * Whether the frame is an ARP request or reply, with any sender MAC: it may come from a router for its virtual address (VRRP, CARP), or from a proxy.
 */
export function isAnyArp(view: DataView, at: number, length: number): boolean {
  if (length < ARP_FRAME_BYTES || view.getUint16(at + ETHERNET_HEADER_BYTES - 2) !== ETHERTYPE.arp) return false;
  if (view.getUint32(at + HARDWARE_TYPE_AT) !== ETHERNET_IPV4 || view.getUint16(at + LENGTHS_AT) !== LENGTHS)
    return false;
  const operation = arpOperation(view, at);
  return operation === ARP_OPERATION.request || operation === ARP_OPERATION.reply;
}

export function arpOperation(view: DataView, at: number): number {
  return view.getUint16(at + OPERATION_AT);
}

/** IPv4 address as a big-endian word, signed. */
export function arpSender(view: DataView, at: number): number {
  return view.getInt32(at + SENDER_IP_AT);
}

/** IPv4 address as a big-endian word, signed. */
export function arpTarget(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_IP_AT);
}

/** The address that the sender announces, or probes before it uses it (RFC 5227 §2.1.1), as a signed word. 0.0.0.0 if neither. */
export function arpClaim(view: DataView, at: number): number {
  const sender = arpSender(view, at);
  return sender === 0 && arpOperation(view, at) === ARP_OPERATION.request ? arpTarget(view, at) : sender;
}

/**
 * Whether a station can have this IPv4 address, a signed word. It cannot be in 0.0.0.0/8 (used by a probe, RFC 5227 §1.1), loopback or 224.0.0.0/3.
 */
export function isStationIpv4(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Writes the reply to the request at `requestAt`, from the station with the given MAC: ARP_FRAME_BYTES at `to`. */
export function writeArpReply(view: DataView, to: number, requestAt: number, high: number, low: number): void {
  const askerHigh = macHigh(view, requestAt + SOURCE_MAC_AT);
  const askerLow = macLow(view, requestAt + SOURCE_MAC_AT);
  writeMac(view, to, askerHigh, askerLow);
  writeMac(view, to + SOURCE_MAC_AT, high, low);
  view.setUint16(to + ETHERNET_HEADER_BYTES - 2, ETHERTYPE.arp);
  view.setUint32(to + HARDWARE_TYPE_AT, ETHERNET_IPV4);
  view.setUint16(to + LENGTHS_AT, LENGTHS);
  view.setUint16(to + OPERATION_AT, ARP_OPERATION.reply);
  writeMac(view, to + SENDER_MAC_AT, high, low);
  view.setInt32(to + SENDER_IP_AT, arpTarget(view, requestAt));
  writeMac(view, to + TARGET_MAC_AT, askerHigh, askerLow);
  view.setInt32(to + TARGET_IP_AT, arpSender(view, requestAt));
}
