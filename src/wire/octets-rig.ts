/** Places octets in a buffer for tests of codecs. */

/** The octets at `at` of a buffer that ends with them, so that reading beyond them throws. The octets in front of them are 0xa5. */
export function placedAt(octets: ArrayLike<number>, at: number): DataView {
  const buffer = new Uint8Array(at + octets.length).fill(0xa5);
  buffer.set(octets, at);
  return new DataView(buffer.buffer);
}
