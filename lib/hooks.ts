/** Calls functions of the user's, and contains what they throw or reject with. */

import { describe } from './describe.ts';
import { BackgroundTaskError, letGoOfFrames } from './errors.ts';
import { toError } from './to-error.ts';

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as PromiseLike<unknown>).then === 'function'
  );
}

/** Whether an answer is a promise, and so comes too late where it is needed at once. Its rejection is swallowed. */
export function isTooLate(answer: unknown): boolean {
  if (!isThenable(answer)) return false;
  Promise.resolve(answer).catch(() => {});
  return true;
}

/** Calls a hook for its effect; what it throws, now or later, goes to `onThrown`. */
export function notify(hook: () => unknown, onThrown: (thrown: unknown) => void): void {
  try {
    const returned = hook();
    if (isThenable(returned)) Promise.resolve(returned).catch(onThrown);
  } catch (thrown) {
    onThrown(thrown);
  }
}

/** The error of a hook that threw. */
export function hookError(name: string, thrown: unknown): BackgroundTaskError {
  const cause = toError(thrown);
  return wrongHook(`Expected ${name} not to throw: ${cause.message}`, { cause });
}

function wrongHook(message: string, options?: { cause: unknown }): BackgroundTaskError {
  return letGoOfFrames(new BackgroundTaskError('ERR_BACKGROUND_HOOK', message, options));
}

/**
 * Asks a function of the user's for what is needed at once.
 *
 * @param expected what it should have done, for the error.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_HOOK` if it throws, or answers with a promise, which comes too late.
 */
export function askNow(name: string, expected: string, hook: () => unknown): unknown {
  let answer: unknown;
  try {
    answer = hook();
    if (!isTooLate(answer)) return answer;
  } catch (thrown) {
    throw hookError(name, thrown);
  }
  throw wrongHook(`Expected ${name} to ${expected}, got ${describe(answer)}.`);
}

/** The same of a predicate. */
export function ask(name: string, predicate: () => unknown): boolean {
  return Boolean(askNow(name, 'return true or false synchronously', predicate));
}
