import { foldSum, sumOctets } from './checksum.ts';

/**
 * Internet-checksum sums (RFC 1071) over one memory, the worker's slab. Sums are of big-endian 16-bit words, folded to 16 bits (0 to
 * 0xffff), not complemented. An odd last octet counts as the high half of a word. Lengths are at most 65,536.
 */
export interface OctetSums {
  /** Sum of `length` octets from offset `at`, any alignment. */
  sum(at: number, length: number): number;
  /** Copies `length` octets from `from` to `to` and sums them, in one pass. The ranges must not overlap. */
  copySum(to: number, from: number, length: number): number;
  /** 1 if `length` octets, at least 16, from `a` and from `b` on are equal in all bits that are set in the octets from `mask` on, else 0. */
  equalUnder(mask: number, a: number, b: number, length: number): number;
}

/** The same in JavaScript, for hosts without SIMD. It is also the reference for the tests of the module. */
export function portableSums(bytes: Uint8Array): OctetSums {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sum = (at: number, length: number) => foldSum(sumOctets(view, at, length));
  return {
    sum,
    copySum: (to, from, length) => {
      bytes.copyWithin(to, from, from + length);
      return sum(to, length);
    },
    equalUnder: (mask, a, b, length) => {
      for (let i = 0; i < length; i++) {
        if ((((bytes[a + i] as number) ^ (bytes[b + i] as number)) & (bytes[mask + i] as number)) !== 0) return 0;
      }
      return 1;
    },
  };
}

/**
 * Finishes a partial checksum. The field at `start + offset` holds the pseudo-header sum. It is replaced by the complement of the sum from `start` to
 * `end`. A result of zero is written as 0xffff, since zero means "none" for UDP (RFC 768).
 */
export function completeChecksum(view: DataView, sums: OctetSums, start: number, end: number, offset: number): void {
  const checksum = ~sums.sum(start, end - start) & 0xffff;
  view.setUint16(start + offset, checksum === 0 ? 0xffff : checksum);
}
