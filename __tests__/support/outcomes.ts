/** What tests check of an outcome, of an error that a task ended with, or of one that a call threw. */
import { expect } from '@jest/globals';
import { BackgroundTaskError, type Outcome, type ResponseEnd } from 'express-background-tasks';

/** The end of a response that was sent, as its tasks see it. */
export const SENT: ResponseEnd = { ended: 'sent', statusCode: 200 };
/** That of one whose client hung up, or that was destroyed. */
export const ABORTED: ResponseEnd = { ended: 'aborted', statusCode: 200 };

export function codeOf(outcome: Outcome): unknown {
  return (outcome.error as BackgroundTaskError | undefined)?.code;
}

/** The error of the package that the call throws. */
export function thrownBy(call: () => unknown): BackgroundTaskError {
  try {
    call();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BackgroundTaskError);
    return thrown as BackgroundTaskError;
  }
  throw new Error('expected a throw');
}
