/** RFC 1071 octet by octet, the carry brought round after each: the oracle of all that sums. */
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
