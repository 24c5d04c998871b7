/** Why a worker is gone, and why none can start. */
import { existsSync } from 'node:fs';
import { BackgroundTaskError, codeOf } from '../errors.ts';
import { processEntry, threadStart } from '../package-files.ts';

/** Whether a thread has reached its limits. */
export function isOutOfMemory(crash: Error | undefined): boolean {
  return codeOf(crash) === 'ERR_WORKER_OUT_OF_MEMORY';
}

export function threadExited(exitCode: number, crash: Error | undefined): BackgroundTaskError {
  if (isOutOfMemory(crash)) {
    return new BackgroundTaskError('ERR_BACKGROUND_OUT_OF_MEMORY', `The thread ran out of memory: ${crash?.message}.`, {
      cause: crash,
    });
  }
  const because = crash === undefined ? '' : `: ${crash.message}`;
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_EXITED',
    `The thread exited with code ${exitCode}${because}.`,
    { cause: crash },
  );
  return Object.assign(error, { exitCode });
}

/** @param startFailure why there was no process at all. */
export function processExited(
  exitCode: number | null,
  signal: NodeJS.Signals | null,
  startFailure: Error | undefined,
): BackgroundTaskError {
  const how = signal === null ? `with code ${exitCode}` : `by ${signal}`;
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_PROCESS_EXITED',
    startFailure === undefined ? `The process ended ${how}.` : `${startFailure.message}.`,
    { cause: startFailure },
  );
  return Object.assign(error, { exitCode, signal });
}

/** The error of every task that waits for threads which cannot start. */
export function threadCannotStart(cause: Error): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_START',
    `A worker thread could not start, ${adviceFor(threadStart, 'pool')}: ${cause.message}`,
    { cause },
  );
}

/** The same for processes. */
export function processCannotStart(cause: Error): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_PROCESS_START',
    `A child process could not start, ${adviceFor(processEntry, 'processes')}: ${cause.message}`,
    { cause },
  );
}

export function noProcessInSingleExecutable(): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_PROCESS_START',
    'A child process could not start: expected node as the executable, got a single executable application, which a child process would start again. Run the task in a thread, or start the application with node.',
  );
}

/** @param entry the file of this package that the workers begin with. */
function adviceFor(entry: URL, option: 'pool' | 'processes'): string {
  return existsSync(entry)
    ? `look at the options of \`${option}\``
    : `since express-background-tasks was bundled, and ${entry.href} is not there: have the bundler leave the package external`;
}
