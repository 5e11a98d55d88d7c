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

export function hasVxlanHeader(length: number): boolean {
  return length >= VXLAN_HEADER_BYTES;
}

/** The I flag: the VNI is valid. Without it the packet is not VXLAN. */
export function hasVniFlag(view: DataView, at: number): boolean {
  return (view.getUint32(at) & I_FLAG) !== 0;
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
