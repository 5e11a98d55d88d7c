import { ENCAP, type Encap, type Encapsulation } from './encapsulation.ts';
import { hasVxlanVni, isNextVxlan, peekVxlan, readVxlan, VXLAN, writeVxlan } from './vxlan.ts';

/**
 * The codecs by number. It is a `switch` over static functions: each call site stays monomorphic, and the compiler inlines the codec into the ladder.
 * A table of functions, or one object per codec, would cost an indirect call per packet. VXLAN is the default case: a `switch` that may match nothing
 * also returns undefined, and then V8 does not keep the result as a plain integer.
 */

/** Descriptions by number. */
export const ENCAPSULATIONS: { readonly [E in Encap]: Encapsulation } = Object.freeze({ [ENCAP.vxlan]: VXLAN });

/**
 * Reads the header of a datagram.
 *
 * The result depends only on the first eight octets, so datagrams of a train are compared by them (see `forwardDatagrams`).
 *
 * @param length of the datagram from `at` on
 * @param dropReservedBits whether a header with bits that its RFC reserves is refused
 * @returns a reading (see reading.ts)
 */
export function readHeader(
  encap: Encap,
  view: DataView,
  at: number,
  length: number,
  dropReservedBits: boolean,
): number {
  switch (encap) {
    default:
      return readVxlan(view, at, length, dropReservedBits);
  }
}

/** The length and VNI fields, also of a header that is refused. @returns a reading that is no fault, or HEADER_SHORT */
export function peekHeader(encap: Encap, view: DataView, at: number, length: number): number {
  switch (encap) {
    default:
      return peekVxlan(view, at, length);
  }
}

/** Whether there is a header of this encapsulation, so that its VNI is valid. All senders set what this tests. */
export function hasVni(encap: Encap, view: DataView, at: number, length: number): boolean {
  switch (encap) {
    default:
      return hasVxlanVni(view, at, length);
  }
}

/**
 * Writes the header for the frames of a segment. Its length is the one in the description.
 *
 * @param end end of the header, where the frame begins
 * @returns start of the header
 */
export function writeHeader(encap: Encap, view: DataView, end: number, vni: number): number {
  switch (encap) {
    default:
      return writeVxlan(view, end, vni);
  }
}

/**
 * Whether there is a header at `at` that the sender of the header at `firstAt` could have written, and that a payload does not contain by chance. If
 * so, a new datagram of a train begins there.
 *
 * @param length octets from `at` on; may be 0 or less
 */
export function isNextHeader(encap: Encap, view: DataView, at: number, length: number, firstAt: number): boolean {
  switch (encap) {
    default:
      return isNextVxlan(view, at, length, firstAt);
  }
}
