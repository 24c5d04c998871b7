/** Waiting with a limit. */

/** Resolves to what `event` resolves to, or to `undefined` after `milliseconds`, whichever is first. */
export function delayed<T>(milliseconds: number, event: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds, undefined);
    event.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
