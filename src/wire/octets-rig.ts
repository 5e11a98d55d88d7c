/** Octets where tests of codecs want them. */

/** The octets at `at` of a buffer that ends where they end, so that reading on throws; 0xa5 stands in front of them. */
export function placedAt(octets: ArrayLike<number>, at: number): DataView {
  const buffer = new Uint8Array(at + octets.length).fill(0xa5);
  buffer.set(octets, at);
  return new DataView(buffer.buffer);
}
