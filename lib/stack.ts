/**
 * What is left of the stack. Code of the application that adds tasks in an endless recursion uses it up, and most likely
 * within `add`: there it must not run out when a task is counted and nobody has it yet, or a worker is in nobody's hands.
 */

/** Each takes some 65 bytes and three nanoseconds. Enough for all that `add` has to do at once. */
const LEVELS = 64;
/** Enough for what it can also leave. */
const MANY_LEVELS = 256;

/** Throws what the stack is about to run out with, while nothing has been done yet. */
export function assertStack(): void {
  descend(LEVELS);
}

/** Whether there is plenty. */
export function hasStack(): boolean {
  try {
    descend(MANY_LEVELS);
    return true;
  } catch {
    return false;
  }
}

function descend(levels: number): void {
  if (levels > 0) descend(levels - 1);
}
