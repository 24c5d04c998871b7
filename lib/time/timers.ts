/** Durations, and waiting with a limit. All are in milliseconds. */
import { clearTimeout, setImmediate, setTimeout } from './real-time.ts';

export const SECOND = 1_000;

/** The longest delay that Node's timers keep; they fire at once for a longer one. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

/**
 * Calls `onOver` when the time is over. After the event loop was blocked, timers come first: what was done in time is heard
 * of later in the same turn, and before `onOver` is called, which clearing the timer does not prevent by then.
 */
export function setPatientTimeout(onOver: () => void, milliseconds: number): NodeJS.Timeout {
  return setTimeout(setImmediate, milliseconds, onOver);
}

/** Waits for `work`, but no longer than that. Returns whether it was done in time; rejects where it does. */
export function doneWithin(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setPatientTimeout(() => resolve(false), milliseconds);
    work.then(() => resolve(true), reject).finally(() => clearTimeout(timer));
  });
}
