/** Values that could not get to a worker, or back, though nothing spoke against it when the task was added. */
import { BackgroundTaskError, letGoOfFrames } from '../errors.ts';

/** Arguments that could be copied, and then not be sent or not be read: most are nested too deep for one of the stacks. */
export function lostArguments(taskName: string, cause: Error): BackgroundTaskError {
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_CLONEABLE',
    `Expected the arguments of task ${taskName} to get to its thread or process (${cause.message}): pass less, or what is nested less deep.`,
    { cause },
  );
  return letGoOfFrames(error);
}

/** A result that cannot leave its thread. Only a warning, since the task itself has done its work. */
export function lostResult(taskName: string, reason: string): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_RESULT_NOT_CLONEABLE',
    `Expected the result of task ${taskName} to be cloneable from its thread or process; the task has completed, and its value is undefined: ${reason}`,
  );
}
