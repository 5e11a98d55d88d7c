import { ENCAP, type Encapsulation, outerBytesOverUdp } from './encapsulation.ts';
import { HEADER_FAULT, HEADER_SHORT, headerReading } from './reading.ts';

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

/** 4789 is assigned to VXLAN. 8472 is the older default of the kernel, and 4790 is the port of VXLAN-GPE. */
export const VXLAN: Encapsulation = Object.freeze({
  encap: ENCAP.vxlan,
  label: 'VXLAN',
  port: 4789,
  otherPorts: Object.freeze([8472, 4790]),
  headerBytes: VXLAN_HEADER_BYTES,
  outerBytes: outerBytesOverUdp(VXLAN_HEADER_BYTES),
  dropReasons: Object.freeze(['no-i-flag', 'reserved-bits'] as const),
});

/** The reading of a header with VNI 0. */
const READING = headerReading(VXLAN_HEADER_BYTES, 0);

const I_FLAG = 0x0800_0000;

/**
 * VXLAN-GPE of version 0: with the P flag, the last octet of the first word gives the type of the payload, 3 for Ethernet (draft-ietf-nvo3-vxlan-gpe
 * §3). There is no type if it is 0, or if bits of the version or above it are set.
 */
const GPE_MASK = 0xf400_0000;
const P_FLAG = 0x0400_0000;
const NEXT_PROTOCOL_MASK = 0xff;
const NEXT_IS_ETHERNET = 3;

/**
 * Reads the header of a datagram.
 *
 * @param length of the datagram from `at` on
 * @param dropReservedBits whether a header with reserved bits is refused. RFC 7348 requires receivers to ignore them
 * @returns a reading (see reading.ts)
 */
export function readVxlan(view: DataView, at: number, length: number, dropReservedBits: boolean): number {
  if (length < VXLAN_HEADER_BYTES) return HEADER_SHORT;
  const flags = view.getInt32(at);
  if ((flags & I_FLAG) === 0) return HEADER_FAULT['no-i-flag'];
  if (flags !== I_FLAG && hasOtherPayload(flags)) return HEADER_FAULT['reserved-bits'];
  if (dropReservedBits && hasReservedBits(view, at)) return HEADER_FAULT['reserved-bits'];
  return READING | vniAt(view, at);
}

/** The length and VNI fields, also of a header that is refused. @returns a reading that is no fault, or HEADER_SHORT */
export function peekVxlan(view: DataView, at: number, length: number): number {
  return length < VXLAN_HEADER_BYTES ? HEADER_SHORT : READING | vniAt(view, at);
}

/** Whether there is a header with a valid VNI: the I flag is set. Without it the packet is not VXLAN. */
export function hasVxlanVni(view: DataView, at: number, length: number): boolean {
  return length >= VXLAN_HEADER_BYTES && (view.getInt32(at) & I_FLAG) !== 0;
}

/** Writes a header with the I flag and zero reserved bits. @returns start of the header  @param end end of the header, where the frame begins */
export function writeVxlan(view: DataView, end: number, vni: number): number {
  const at = end - VXLAN_HEADER_BYTES;
  view.setUint32(at, I_FLAG);
  view.setUint32(at + 4, vni << 8);
  return at;
}

/**
 * Whether there is a plain header at `at`, or one with reserved bits in the same places as the header at `firstAt`. No payload contains this by
 * chance.
 *
 * @param length octets from `at` on
 */
export function isNextVxlan(view: DataView, at: number, length: number, firstAt: number): boolean {
  if (!hasVxlanVni(view, at, length)) return false;
  if (!hasReservedBits(view, at)) return true;
  // The bits in between may differ: in VXLAN-GBP they are the policy of the sender.
  const hasSameEnds =
    view.getUint8(at) === view.getUint8(firstAt) && view.getUint8(at + 7) === view.getUint8(firstAt + 7);
  return hasSameEnds && hasReservedBits(view, firstAt);
}

function vniAt(view: DataView, at: number): number {
  return view.getUint32(at + 4) >>> 8;
}

/** Whether the payload is not an Ethernet frame, according to the bits of VXLAN-GPE, which RFC 7348 reserves. @param flags the first word */
function hasOtherPayload(flags: number): boolean {
  if ((flags & GPE_MASK) !== P_FLAG) return false;
  const next = flags & NEXT_PROTOCOL_MASK;
  return next !== 0 && next !== NEXT_IS_ETHERNET;
}

/** Any of the 39 reserved bits. */
function hasReservedBits(view: DataView, at: number): boolean {
  return (view.getUint32(at) & ~I_FLAG) !== 0 || view.getUint8(at + 7) !== 0;
}
