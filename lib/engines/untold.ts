/** What a worker says that ends before its engine has been told what all its tasks came to. Nobody else knows that they have ended. */

/** A worker may have many, and a line is read by people. */
const MOST_NAMED = 10;

/** @param ids of at least one task. */
export function untold(ids: readonly string[]): string {
  const others = ids.length > MOST_NAMED ? ` and ${ids.length - MOST_NAMED} more` : '';
  const named = `${ids.slice(0, MOST_NAMED).join(', ')}${others}`;
  // The answer may have been lost, and not what was written.
  return `It has not confirmed in time that these tasks have ended: unless that was written all the same, they run again: ${named}.`;
}
