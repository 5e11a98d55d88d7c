/** RFC 1071 octet by octet, with the carry added after each step: the reference for all checksum tests. */
export function naiveSum(octets: Iterable<number>): number {
  let sum = 0;
  let isHigh = true;
  for (const octet of octets) {
    sum += isHigh ? octet * 256 : octet;
    if (sum > 0xffff) sum -= 0xffff;
    isHigh = !isHigh;
  }
  return sum;
}
