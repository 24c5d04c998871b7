/** When to try again. */
import type { RetryPolicy } from './policy.ts';

/** How long to wait after attempt number `attempt` has failed, in milliseconds. */
export function delayAfter(attempt: number, retry: Omit<RetryPolicy, 'retryIf'>): number {
  const grown = Math.min(retry.delay * retry.factor ** (attempt - 1), retry.maxDelay);
  return Math.round(grown * (1 - retry.jitter * Math.random()));
}
