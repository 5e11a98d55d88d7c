/**
 * What a codec reads of a header, packed in a small integer, so that nothing is allocated or stored for a packet. At 0 and above, the header is
 * taken: the low 24 bits are the VNI, and above them is the length of the header in words of four octets. The inner frame begins behind it.
 * Below 0, it is HEADER_SHORT or a HEADER_FAULT.
 */

/**
 * Why a codec refuses a header whose octets are all there, in the order in which codecs test. The names are drop reasons and so API
 * (`vtepctl drops`, metrics). Each encapsulation says which of them it has.
 */
export const HEADER_REASONS = ['no-i-flag', 'reserved-bits'] as const;

export type HeaderReason = (typeof HEADER_REASONS)[number];

/** Octets of the header are missing. */
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

/** Octets of the header, from where the inner frame begins, of a reading at 0 or above. */
export function readHeaderBytes(reading: number): number {
  return (reading >>> VNI_BITS) << 2;
}

/** Place in HEADER_REASONS. @param reading a HEADER_FAULT */
export function reasonIndex(reading: number): number {
  return FIRST_FAULT - reading;
}
