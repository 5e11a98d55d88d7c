/**
 * The VXLAN header (RFC 7348 §5) over a caller's buffer.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |R|R|R|R|I|R|R|R|            Reserved                           |
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |                VXLAN Network Identifier (VNI) |   Reserved    |
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

export const VXLAN_HEADER_BYTES = 8;

const I_FLAG = 0x0800_0000;

/**
 * VXLAN-GPE of version 0: with the P flag, the last octet of the first word says what the payload is, 3 for Ethernet
 * (draft-ietf-nvo3-vxlan-gpe §3). It says nothing where that is 0, which is no protocol, or where bits of the version or above it are set.
 */
const GPE_MASK = 0xf400_0000;
const P_FLAG = 0x0400_0000;
const NEXT_PROTOCOL_MASK = 0xff;
const NEXT_IS_ETHERNET = 3;

export function hasVxlanHeader(length: number): boolean {
  return length >= VXLAN_HEADER_BYTES;
}

/** The I flag: the VNI is valid. Without it the packet is not VXLAN. */
export function hasVniFlag(view: DataView, at: number): boolean {
  return (view.getUint32(at) & I_FLAG) !== 0;
}

/** Whether the payload is something else than an Ethernet frame, by what VXLAN-GPE says in bits that RFC 7348 reserves. */
export function hasOtherPayload(view: DataView, at: number): boolean {
  const word = view.getUint32(at);
  if ((word & GPE_MASK) !== P_FLAG) return false;
  const next = word & NEXT_PROTOCOL_MASK;
  return next !== 0 && next !== NEXT_IS_ETHERNET;
}

/** Any of the 39 reserved bits. RFC 7348 says ignore them on receipt. */
export function hasReservedBits(view: DataView, at: number): boolean {
  return (view.getUint32(at) & ~I_FLAG) !== 0 || view.getUint8(at + 7) !== 0;
}

/** The VNI, 0–16777215. */
export function vxlanVni(view: DataView, at: number): number {
  return view.getUint32(at + 4) >>> 8;
}

/** Writes the eight octets of a header with the I flag and zero reserved bits. */
export function writeVxlanHeader(view: DataView, at: number, vni: number): void {
  view.setUint32(at, I_FLAG);
  view.setUint32(at + 4, vni << 8);
}
