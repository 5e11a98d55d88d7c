/**
 * The result of a codec for a header, packed in a small integer, so that nothing is allocated or stored per packet. 0 and above: the header is
 * accepted. The low 24 bits are the VNI; the bits above are the length of the header in words of four octets. The inner frame follows the header.
 * Below 0: HEADER_SHORT or a HEADER_FAULT.
 */

/**
 * Why a codec refuses a complete header, in the order of the tests. The names are drop reasons and therefore API (`vtepctl drops`, metrics). Each
 * encapsulation lists the ones that it uses.
 */
export const HEADER_REASONS = ['no-i-flag', 'reserved-bits'] as const;

export type HeaderReason = (typeof HEADER_REASONS)[number];

/** The datagram is shorter than the header. */
export const HEADER_SHORT = -1;

const FIRST_FAULT = -2;

/** Reason names to readings: -2, -3, … */
export const HEADER_FAULT = Object.freeze(
  Object.fromEntries(HEADER_REASONS.map((name, index) => [name, FIRST_FAULT - index])),
) as { readonly [Name in HeaderReason]: number };

const VNI_BITS = 24;
const VNI_MASK = 0xff_ffff;

/** @param bytes of the header: a multiple of 4 up to 508 */
export function headerReading(bytes: number, vni: number): number {
  return ((bytes >>> 2) << VNI_BITS) | vni;
}

/** The VNI of a reading at 0 or above. */
export function readVni(reading: number): number {
  return reading & VNI_MASK;
}

/** Octets of the header, for a reading at 0 or above. The inner frame follows. */
export function readHeaderBytes(reading: number): number {
  return (reading >>> VNI_BITS) << 2;
}

/** Index in HEADER_REASONS. @param reading a HEADER_FAULT */
export function reasonIndex(reading: number): number {
  return FIRST_FAULT - reading;
}
