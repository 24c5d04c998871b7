/** Why a task ends before its own end: it was cancelled, its time is over, or that of `close`. */
import { describe } from './describe.ts';
import { BackgroundTaskError, letGoOfFrames } from './errors.ts';
import type { UnsuccessfulOutcome } from './outcome.ts';
import type { PendingState } from './task-state.ts';
import { isError } from './to-error.ts';

export interface Interruption {
  readonly state: Exclude<UnsuccessfulOutcome['state'], 'failed'>;
  readonly error: Error;
}

export function cancelled(name: string, reason: unknown): Interruption {
  // Many a message, as that of an engine that has lost its claim, is a sentence with its own full stop.
  const because =
    reason === undefined ? '' : `: ${isError(reason) ? String(reason.message).replace(/\.$/, '') : describe(reason)}`;
  const error = new BackgroundTaskError('ERR_BACKGROUND_CANCELLED', `Task ${name} was cancelled${because}.`, {
    cause: reason,
  });
  return interruption('cancelled', error);
}

export function timedOut(name: string, timeout: number): Interruption {
  return interruption(
    'timed-out',
    new BackgroundTaskError('ERR_BACKGROUND_TIMEOUT', `Task ${name} ran longer than its timeout of ${timeout} ms.`),
  );
}

/** @param sequel what becomes of it elsewhere: a sentence, or nothing. */
export function abandoned(name: string, state: PendingState, sequel: string): Interruption {
  return interruption(
    'abandoned',
    new BackgroundTaskError(
      'ERR_BACKGROUND_ABANDONED',
      `Task ${name} was abandoned while it was ${state}: background.close() ran out of time.${sequel}`,
    ),
  );
}

function interruption(state: Interruption['state'], error: Error): Interruption {
  return { state, error: letGoOfFrames(error) };
}
