/** Durations, and waiting with a limit. All are in milliseconds. */

export const SECOND = 1_000;

/** The longest delay that Node's timers keep; they fire at once for a longer one. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

/** Resolves to what `event` resolves to, or to `undefined` after `milliseconds`, whichever is first. */
export function delayed<T>(milliseconds: number, event: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds, undefined);
    event.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
