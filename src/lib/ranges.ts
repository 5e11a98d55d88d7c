/** Ranges in a line at most; the rest is `…`. */
const MAX_RANGES = 16;

/** Whole numbers as text: `100-199, 300`; sorted, without duplicates. At most 16 ranges, then `…`. */
export function formatRanges(numbers: readonly number[]): string {
  const ranges: { first: number; last: number }[] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && number <= range.last + 1) range.last = number;
    else ranges.push({ first: number, last: number });
  }
  const words = ranges
    .slice(0, MAX_RANGES)
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return [...words, ...(ranges.length > MAX_RANGES ? ['…'] : [])].join(', ');
}
