/** The name that was probably meant by one that does not exist. */

/** The known name that is nearest to what was written, if one is near at all. */
export function nearestOf(written: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let shortest = Math.max(2, Math.floor(written.length / 2)) + 1;
  for (const name of known) {
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    if (distance < shortest) {
      shortest = distance;
      nearest = name;
    }
  }
  return nearest;
}

/** Levenshtein's distance, a row at a time. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const substitution = (previous[column - 1] as number) + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] as number) + 1, (current[column - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[to.length] as number;
}
