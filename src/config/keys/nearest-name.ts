/** "Did you mean …": the known name nearest to a mistyped one. */

/**
 * The known name that differs least from `text`, by single characters inserted, deleted, replaced or swapped with their neighbour, case ignored.
 * Undefined where none is near: at most one change per three characters of the name. The earlier of two equally near names wins.
 */
export function nearestName(text: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const name of known) {
    const allowed = Math.floor(name.length / 3);
    // Also bounds the work: the distance of a text that cannot be near is not computed.
    if (Math.abs(name.length - text.length) > allowed) continue;
    const distance = editDistance(text.toLowerCase(), name);
    if (distance <= allowed && distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** The remedy of an unknown name: the nearest known one, else `otherwise`. */
export function suggestion(text: string, known: readonly string[], otherwise: string): string {
  const nearest = nearestName(text, known);
  return nearest === undefined ? otherwise : `did you mean ${nearest}?`;
}

/** Optimal string alignment distance: three rows of the usual table. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(previous, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, at(previous, j) + 1, at(row, j - 1) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, at(before, j - 2) + 1);
      row.push(least);
    }
    [before, previous] = [previous, row];
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}
