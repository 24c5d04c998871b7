/** Durations, and waiting with a limit. All are in milliseconds. */
import { clearTimeout, setImmediate, setTimeout } from './real-time.ts';

export const SECOND = 1_000;

/** The longest delay that Node's timers keep; they fire at once for a longer one. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

/** Waits for `work`, but no longer than that. Returns whether it was done in time; rejects where it does. */
export function doneWithin(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // After the event loop was blocked, timers come first: what was done in time is heard of later in the same turn.
    const timer = setTimeout(() => setImmediate(resolve, false), milliseconds);
    work.then(() => resolve(true), reject).finally(() => clearTimeout(timer));
  });
}
