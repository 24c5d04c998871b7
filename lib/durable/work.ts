/** One attempt at a task from an engine: looks up its name, checks its arguments, runs it, and answers with the result. */

import { describe, describeKind, describeName } from '../describe.ts';
import { BackgroundTaskError, engineError } from '../errors.ts';
import type { ExecutorName } from '../executor-names.ts';
import { isTooLate } from '../hooks.ts';
import { taskRules } from '../options/task.ts';
import type { Outcome, UnsuccessfulOutcome } from '../outcome.ts';
import type { NamedTask, TaskDefinition } from '../task.ts';
import { SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { WorkRun } from './durable-run.ts';
import type { TaskEnvelope, WorkContext, WorkResult } from './engine.ts';
import { jsonOrNothing } from './json.ts';
import { keptError } from './kept-error.ts';
import type { RecentlyTold } from './recently-told.ts';

/** What work needs of the instance that it runs in. */
export interface WorkHost {
  /** @throws where there is no room for the task. */
  run(definition: TaskDefinition, work: Work): WorkRun;
  warn(task: NamedTask, error: Error): void;
  /** The task will not be run, neither here nor elsewhere: no run reports that. */
  failed(outcome: UnsuccessfulOutcome): void;
}

/** Which tasks run here, and for how long others are put back for a worker that knows them. */
export interface KnownTasks {
  readonly byName: ReadonlyMap<string, TaskDefinition>;
  /** In milliseconds. */
  readonly unknownFor: number;
  /** The names of others, of which the log has a line: after half a deploy, thousands of tasks may have the same. */
  readonly unknownTold: RecentlyTold;
}

/** One attempt at a task that an engine has handed out. */
export interface Work {
  readonly id: string;
  readonly args: readonly unknown[];
  readonly context: unknown;
  readonly attempt: number;
  readonly retryInMs: number | undefined;
  readonly timeout: number;
}

const VERSION = 1;
/** A larger result is not kept by the engine. */
const LARGEST_VALUE = 64 * 2 ** 10;
/** A task of an unknown name is put back for as long as it has waited so far: after a quick deploy it runs soon. */
const SHORTEST_POSTPONEMENT = 1 * SECOND;
const LONGEST_POSTPONEMENT = 60 * SECOND;
const NO_ROOM_POSTPONEMENT = 1 * SECOND;

export async function work(
  envelope: TaskEnvelope,
  context: WorkContext,
  known: KnownTasks,
  host: WorkHost,
): Promise<WorkResult> {
  const { id, task: name } = envelope;
  const definition = envelope.v === VERSION ? known.byName.get(name) : undefined;
  if (definition === undefined) return postponeUnknown(envelope, context, known, host);
  let timeout: number;
  let args: readonly unknown[];
  try {
    timeout = timeoutOf(envelope);
    args = parsed(envelope, definition);
  } catch (thrown) {
    return failedForGood(envelope, context, definition.executor, toError(thrown), host);
  }
  const { attempt, retryInMs, signal } = context;
  let run: WorkRun;
  try {
    run = host.run(definition, { id, args, context: envelope.context, attempt, retryInMs, timeout });
  } catch {
    // Full, or closing: another worker has room, or this one will.
    return { kind: 'postponed', delayMs: NO_ROOM_POSTPONEMENT };
  }
  const cancel = (): void => void run.cancel(signal.reason);
  signal.addEventListener('abort', cancel, { once: true });
  const outcome = await run.settled;
  signal.removeEventListener('abort', cancel);
  return resultOf(outcome, run);
}

function resultOf(outcome: Outcome, { isTriedAgain }: WorkRun): WorkResult {
  switch (outcome.state) {
    case 'completed':
      return { kind: 'completed', value: jsonOrNothing(outcome.value, LARGEST_VALUE) };
    case 'failed':
    case 'timed-out':
      return failed(outcome.error, isTriedAgain);
    case 'cancelled':
      return failed(outcome.error, false);
    default:
      // Abandoned by a worker that is closing: another may have the task at once.
      return { kind: 'postponed', delayMs: 0 };
  }
}

/** The engine keeps it as failed. */
function failedForGood(
  { id, task: name }: TaskEnvelope,
  { attempt, stagedAt }: WorkContext,
  executor: ExecutorName,
  error: Error,
  host: WorkHost,
): WorkResult {
  // Others may have written the time: it may be none, or lie ahead.
  const waitedMs = Math.max(0, Date.now() - stagedAt) || 0;
  // This attempt was never started.
  host.failed({ id, name, executor, state: 'failed', attempts: attempt - 1, waitedMs, ranMs: 0, error });
  return failed(error, false);
}

function failed(error: Error, retry: boolean): WorkResult {
  return { kind: 'failed', error: keptError(error), retry };
}

/**
 * An engine may have been written to by others, and timers are not made for whatever they have written.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE`
 */
function timeoutOf({ task, timeout = Number.POSITIVE_INFINITY }: TaskEnvelope): number {
  if (taskRules.timeout.accepts(timeout)) return timeout;
  throw engineError(
    `Expected the timeout of task ${task} in the engine to be ${taskRules.timeout.expected}, got ${describe(timeout)}.`,
  );
}

/**
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_ARGUMENTS`
 */
function parsed({ task, args }: TaskEnvelope, { parse }: TaskDefinition): readonly unknown[] {
  let parsedArgs: unknown = args;
  try {
    if (parse !== undefined && Array.isArray(args)) parsedArgs = parse([...args]);
    if (isTooLate(parsedArgs)) throw new TypeError('it returned a promise instead of an array');
  } catch (thrown) {
    const cause = toError(thrown);
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_ARGUMENTS',
      `Expected the arguments of task ${task} to pass \`parse\`: ${cause.message}`,
      { cause },
    );
  }
  if (Array.isArray(parsedArgs)) return parsedArgs;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_ARGUMENTS',
    `Expected the arguments of task ${task} to be an array, got ${describeKind(parsedArgs)}.`,
  );
}

/** After half a deploy of this package itself, the name is registered, and to look for it would be in vain. */
function whyUnknown({ v }: TaskEnvelope): string {
  if (v === VERSION) return 'is not registered in this worker';
  return `was added by another version of express-background-tasks, in a format (${describe(v)}) that this worker does not read`;
}

/** The name is not known here, but another worker may know it, or this one after its own deploy. */
function postponeUnknown(
  envelope: TaskEnvelope,
  context: WorkContext,
  { unknownFor, unknownTold }: KnownTasks,
  host: WorkHost,
): WorkResult {
  const { id, task: name } = envelope;
  // Others may have written the time: one far ahead, or `NaN`, must not bring the task back again and again.
  const age = Math.abs(Date.now() - context.stagedAt);
  const isOver = !(age < unknownFor);
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_UNKNOWN_TASK',
    `Task ${describe(name)} ${whyUnknown(envelope)}${isOver ? `, and no other worker ran it within ${unknownFor} ms` : ', and was put back for other workers'}.`,
  );
  if (isOver) return failedForGood(envelope, context, 'engine', error, host);
  const described = describeName(name);
  if (unknownTold.isNews(described)) host.warn({ id, name: described }, error);
  return { kind: 'postponed', delayMs: Math.min(Math.max(age, SHORTEST_POSTPONEMENT), LONGEST_POSTPONEMENT) };
}
