/**
 * Ethernet II over a caller's buffer. `at` is always the offset of the frame's first octet; the caller has checked with
 * `hasEthernetHeader` that the header is there.
 *
 *      0             6             12     14
 *     +-------------+-------------+------+---------
 *     | destination | source      | type | payload
 *     +-------------+-------------+------+---------
 */

export const ETHERNET_HEADER_BYTES = 14;

/** Offset of the source MAC in a frame. */
export const SOURCE_MAC_AT = 6;

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
} as const;

export function hasEthernetHeader(length: number): boolean {
  return length >= ETHERNET_HEADER_BYTES;
}

/** First four octets of the MAC at `at`, signed: this is a small integer for V8, so that no call allocates a heap number. */
export function macHigh(view: DataView, at: number): number {
  return view.getInt32(at);
}

/** Last two octets of the MAC at `at`, unsigned. */
export function macLow(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

/** Writes the MAC with the given first four and last two octets. */
export function writeMac(view: DataView, at: number, high: number, low: number): void {
  view.setUint32(at, high);
  view.setUint16(at + 4, low);
}

/** Broadcast or multicast destination. */
export function isGroupDestination(view: DataView, at: number): boolean {
  return (view.getUint8(at) & 1) !== 0;
}

/**
 * Whether a source MAC may be learned: it is neither a group (which would redirect all broadcast) nor zero. As is_valid_ether_addr() of the kernel.
 */
export function hasValidSource(view: DataView, at: number): boolean {
  const high = view.getUint32(at + SOURCE_MAC_AT);
  return (high & 0x0100_0000) === 0 && (high !== 0 || view.getUint16(at + SOURCE_MAC_AT + 4) !== 0);
}
