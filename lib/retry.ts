/** Whether to try again, and when. */
import { codeOf } from './errors.ts';
import { ask } from './hooks.ts';
import type { RetryPolicy } from './options/policy.ts';

/** Trying again cannot help: the module or the export does not exist. */
const NEVER_RETRIED: ReadonlySet<unknown> = new Set(['ERR_BACKGROUND_MODULE', 'ERR_BACKGROUND_EXPORT']);

/**
 * Whether another attempt may go better than the one that failed with `error`.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_HOOK` if the user's `retryIf` does not answer.
 */
export function isWorthRetrying(taskName: string, error: Error, { retryIf }: RetryPolicy): boolean {
  return !NEVER_RETRIED.has(codeOf(error)) && ask(`\`retryIf\` of task ${taskName}`, () => retryIf(error));
}

/** How long to wait after attempt number `attempt` has failed, in milliseconds. */
export function delayAfter(attempt: number, retry: Omit<RetryPolicy, 'retryIf'>): number {
  // Capped: a large power is `Infinity`, and `0 * Infinity` is `NaN`.
  const growth = Math.min(retry.factor ** (attempt - 1), Number.MAX_VALUE);
  const grown = Math.min(retry.delay * growth, retry.maxDelay);
  return Math.round(grown * (1 - retry.jitter * Math.random()));
}

/** The same, or `undefined` where that was the last attempt. */
export function retryInMsAfter(attempt: number, retry: Omit<RetryPolicy, 'retryIf'>): number | undefined {
  return attempt < retry.attempts ? delayAfter(attempt, retry) : undefined;
}
