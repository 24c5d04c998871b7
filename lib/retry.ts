/** When to try again. */
import type { RetryPolicy } from './policy.ts';

/** How long to wait after attempt number `attempt` has failed, in milliseconds. */
export function delayAfter(attempt: number, retry: Omit<RetryPolicy, 'retryIf'>): number {
  // Powers become infinite, and no wait at all times infinity is no number.
  const growth = Math.min(retry.factor ** (attempt - 1), Number.MAX_VALUE);
  const grown = Math.min(retry.delay * growth, retry.maxDelay);
  return Math.round(grown * (1 - retry.jitter * Math.random()));
}

/** The same, or `undefined` where that was the last attempt. */
export function retryInMsAfter(attempt: number, retry: Omit<RetryPolicy, 'retryIf'>): number | undefined {
  return attempt < retry.attempts ? delayAfter(attempt, retry) : undefined;
}
