/** How one task is treated: the levels of options, laid over one another. */

import { SECOND } from '../time/timers.ts';
import type { RetryOptions, TaskOptions, When } from './task.ts';

/** How one task is treated, all levels merged: nothing in it is optional. */
export interface Policy {
  readonly when: When;
  readonly timeout: number;
  readonly retry: RetryPolicy;
  readonly priority: number;
}

/** When a failed attempt is followed by another; nothing in it is optional. */
export type RetryPolicy = { readonly [Name in keyof RetryOptions]-?: NonNullable<RetryOptions[Name]> };

/** What holds where no level says otherwise. */
export const DEFAULT_POLICY: Policy = Object.freeze({
  when: 'always',
  timeout: 30 * SECOND,
  retry: Object.freeze({
    attempts: 1,
    delay: 1 * SECOND,
    factor: 2,
    maxDelay: 30 * SECOND,
    jitter: 0.5,
    retryIf: () => true,
  }),
  priority: 0,
});

/** A policy with a nearer level laid over it. Fields of `retry` are laid over one by one. */
export function mergePolicy(base: Policy, nearer: Omit<TaskOptions, 'name'>): Policy {
  const { when: nearerWhen, timeout, retry, priority } = nearer;
  if (nearerWhen === undefined && timeout === undefined && retry === undefined && priority === undefined) return base;
  return Object.freeze({
    when: nearerWhen ?? base.when,
    timeout: timeout ?? base.timeout,
    retry: retry === undefined ? base.retry : mergeRetry(base.retry, retry),
    priority: priority ?? base.priority,
  });
}

function mergeRetry(base: RetryPolicy, nearer: RetryOptions): RetryPolicy {
  return Object.freeze({
    attempts: nearer.attempts ?? base.attempts,
    delay: nearer.delay ?? base.delay,
    factor: nearer.factor ?? base.factor,
    maxDelay: nearer.maxDelay ?? base.maxDelay,
    jitter: nearer.jitter ?? base.jitter,
    retryIf: nearer.retryIf ?? base.retryIf,
  });
}
