/** The Internet checksum (RFC 1071) over a caller's buffer. Sums are of big-endian 16-bit words, unfolded, below 2^32. */

/** Sum of `length` octets, at most 65,536. An odd last octet counts as the high half of a word. */
export function sumOctets(view: DataView, at: number, length: number): number {
  let sum = 0;
  let offset = at;
  const end = at + length;
  for (const last = end - 16; offset <= last; offset += 16) {
    const a = view.getUint32(offset);
    const b = view.getUint32(offset + 4);
    const c = view.getUint32(offset + 8);
    const d = view.getUint32(offset + 12);
    sum +=
      (a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff) + (c >>> 16) + (c & 0xffff) + (d >>> 16) + (d & 0xffff);
  }
  for (const last = end - 2; offset <= last; offset += 2) sum += view.getUint16(offset);
  if (offset < end) sum += view.getUint8(offset) << 8;
  return sum;
}

/** Folds a sum to 16 bits, with carries added. */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * Folded sum of the TCP or UDP pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1). This is the value of a checksum field, not complemented, while the
 * sender of the packet has to add the rest.
 *
 * @param length octets from the transport header to the end of the IP packet
 */
export function pseudoHeaderSum(
  view: DataView,
  networkAt: number,
  ipVersion: number,
  protocol: number,
  length: number,
): number {
  const addresses = ipVersion === 4 ? sumOctets(view, networkAt + 12, 8) : sumOctets(view, networkAt + 8, 32);
  return foldSum(addresses + protocol + length);
}
