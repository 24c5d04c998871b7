/** What a worker says that ends before its engine has been told what all its tasks came to. Nobody else knows that they have ended. */
import { firstFew } from '../first-few.ts';

/** @param ids of at least one task. */
export function untold(ids: readonly string[]): string {
  const named = firstFew(ids, (id) => id);
  // The answer may have been lost, and not what was written.
  return `It has not confirmed in time that these tasks have ended: unless that was written all the same, they run again: ${named}.`;
}
