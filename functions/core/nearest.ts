/** The name that `typed` most likely meant: as near as commander asks of a mistyped command; `undefined`: none. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const near = known.map((name) => ({ name, away: distance(typed.toLowerCase(), name.toLowerCase()) }));
  const [best] = near.sort((one, other) => one.away - other.away);
  if (best === undefined || best.away > Math.min(3, Math.floor(best.name.length / 2))) return undefined;
  return best.name;
}

/** How many letters must be typed, dropped, replaced or swapped with the next (optimal string alignment). */
function distance(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= from.length; row++) {
    rows.push([row]);
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      rows[row]?.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (same ? 0 : 1),
          swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
  }
  return at(from.length, to.length);
}
