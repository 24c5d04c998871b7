/** What tests check of an error that a task ended with, or that a call threw. */
import type { BackgroundTaskError, Outcome } from 'express-background-tasks';

export function codeOf(outcome: Outcome): unknown {
  return (outcome.error as BackgroundTaskError | undefined)?.code;
}

/** The error that the call throws. */
export function thrownBy(call: () => unknown): BackgroundTaskError {
  try {
    call();
  } catch (thrown) {
    return thrown as BackgroundTaskError;
  }
  throw new Error('expected a throw');
}
