import { ENCAP, type Encap, type Encapsulation } from './encapsulation.ts';
import { hasVxlanVni, isNextVxlan, peekVxlan, readVxlan, VXLAN, writeVxlan } from './vxlan.ts';

/**
 * The codecs by number. A `switch` over static functions: each call site stays monomorphic, and the compiler inlines the codec into the
 * ladder. A table of functions or an object for each codec would be an indirect call per packet.
 */

/** Numbers as constants of this module: V8 folds those, and loads imported ones each time. */
const VXLAN_NUMBER = ENCAP.vxlan;

/** Descriptions by number. */
export const ENCAPSULATIONS: { readonly [E in Encap]: Encapsulation } = Object.freeze({ [ENCAP.vxlan]: VXLAN });

/**
 * Reads the header of a datagram.
 *
 * The first eight octets of a header decide all that is read of it, so that a train is compared by them (see `forwardDatagrams`).
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
    case VXLAN_NUMBER:
      return readVxlan(view, at, length, dropReservedBits);
  }
}

/** What stands where length and VNI are, also in a header that is refused. @returns a reading that is no fault, or HEADER_SHORT */
export function peekHeader(encap: Encap, view: DataView, at: number, length: number): number {
  switch (encap) {
    case VXLAN_NUMBER:
      return peekVxlan(view, at, length);
  }
}

/** Whether a header is there that is this encapsulation's, so that its VNI is one. No sender leaves that out. */
export function hasVni(encap: Encap, view: DataView, at: number, length: number): boolean {
  switch (encap) {
    case VXLAN_NUMBER:
      return hasVxlanVni(view, at, length);
  }
}

/**
 * Writes the header of a segment's frames, as long as the description says.
 *
 * @param end where it ends and the frame begins
 * @returns where it begins
 */
export function writeHeader(encap: Encap, view: DataView, end: number, vni: number): number {
  switch (encap) {
    case VXLAN_NUMBER:
      return writeVxlan(view, end, vni);
  }
}

/**
 * Whether a header stands at `at` that the sender of the header at `firstAt` could have written, and no payload has by chance: there, one
 * datagram of a train ends and the next begins.
 *
 * @param length octets from `at` on; may be 0 or less
 */
export function isNextHeader(encap: Encap, view: DataView, at: number, length: number, firstAt: number): boolean {
  switch (encap) {
    case VXLAN_NUMBER:
      return isNextVxlan(view, at, length, firstAt);
  }
}
