/** The name that a misspelt one most likely stands for. */

/** @returns undefined where none is near: more than a third of the letters, and more than one, would have to change */
export function nearestName(wrong: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, distance: editDistance(wrong, name) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(Math.max(wrong.length, name.length) / 3)))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.name;
}

/** Letters to insert, delete, replace or swap with their neighbour (optimal string alignment). */
function editDistance(from: string, to: string): number {
  // A word far longer than any name is near to none; this also bounds the table.
  if (Math.abs(from.length - to.length) > 8) return Number.POSITIVE_INFINITY;
  const cost = Array.from({ length: from.length + 1 }, (_, i) => [i]);
  const at = (i: number, j: number) => cost[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let j = 0; j <= to.length; j++) {
    for (let i = 0; i <= from.length; i++) {
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const best = Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (from[i - 1] === to[j - 1] ? 0 : 1),
        swapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
      );
      (cost[i] as number[])[j] = i + j === 0 ? 0 : best;
    }
  }
  return at(from.length, to.length);
}
