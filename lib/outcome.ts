/** How a task can end: the closed union of outcomes, and the one place where `unknown` becomes an `Error`. */
import { inspect } from 'node:util';
import { BackgroundTaskError } from './errors.ts';

/** Where a task ran. `engine`: elsewhere; what settled is its handing over to the engine. */
export type ExecutorName = 'event-loop' | 'thread' | 'process' | 'engine';

/** The executors that are workers of a pool: other threads, other processes. */
export type WorkerKind = 'thread' | 'process';
export const WORKER_KINDS: readonly WorkerKind[] = ['thread', 'process'];

/** All of them. */
export const EXECUTOR_NAMES: readonly ExecutorName[] = ['event-loop', 'thread', 'process', 'engine'];

/** How a response ended, as its tasks see it. */
export interface ResponseEnd {
  /** `sent`: every byte was handed to the system. `aborted`: the client hung up, or the response was destroyed. */
  readonly ended: 'sent' | 'aborted';
  /** The response's status code at its end. */
  readonly statusCode: number;
}

/** What a task ended as. */
export type OutcomeState = 'completed' | 'failed' | 'timed-out' | 'cancelled' | 'skipped' | 'abandoned';

/** All of them, for tables that must name each. */
export const OUTCOME_STATES: readonly OutcomeState[] = [
  'completed',
  'failed',
  'timed-out',
  'cancelled',
  'skipped',
  'abandoned',
];

interface OutcomeFacts {
  /** The id of the task's handle. */
  readonly id: string;
  /** The task's name. */
  readonly name: string;
  /** Where it ran, or would have run. */
  readonly executor: ExecutorName;
  /** How often it was started. `0`: never. */
  readonly attempts: number;
  /** Milliseconds from `add` to the first start; to the end, where it never started. */
  readonly waitedMs: number;
  /** Milliseconds that its attempts ran, all together. The waits between them do not count. */
  readonly ranMs: number;
  /** How the response ended. Absent for a task without a response, and for one that settled before that end. */
  readonly response?: ResponseEnd;
}

/** The end of a task that did its work. */
export interface CompletedOutcome<Value = unknown> extends OutcomeFacts {
  readonly state: 'completed';
  /** What the function returned; `undefined` where it could not cross from the thread. */
  readonly value: Value | undefined;
  readonly error?: never;
}

/** The end of a task that did not. */
export interface UnsuccessfulOutcome extends OutcomeFacts {
  /** `failed`: it threw. `timed-out`, `cancelled`, `abandoned`: it was ended, by its time limit, by `cancel`, by `close`. */
  readonly state: 'failed' | 'timed-out' | 'cancelled' | 'abandoned';
  /** What it threw, or why it was ended. Always an `Error`. */
  readonly error: Error;
  readonly value?: never;
}

/** The end of a task that was not run, because `when` said so (or because a test only records). */
export interface SkippedOutcome extends OutcomeFacts {
  readonly state: 'skipped';
  readonly value?: never;
  readonly error?: never;
}

/** How a task ended. Narrow it by `state`. */
export type Outcome<Value = unknown> = CompletedOutcome<Value> | UnsuccessfulOutcome | SkippedOutcome;

/** What of an outcome differs from state to state; the facts are added by the run. */
export type Verdict =
  | { readonly state: 'completed'; readonly value: unknown }
  | { readonly state: UnsuccessfulOutcome['state']; readonly error: Error }
  | { readonly state: 'skipped' };

/** A value may have any number of properties, and a message is read by people. */
const LONGEST_DESCRIPTION = 1_000;

/** The name that errors, logs and messages use for a value that somebody threw or passed. */
export function describe(value: unknown): string {
  try {
    if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
    const text = inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 100 });
    return text.length > LONGEST_DESCRIPTION ? `${text.slice(0, LONGEST_DESCRIPTION)}…` : text;
  } catch {
    return `an uninspectable ${typeof value}`;
  }
}

/** What a value is, without what is in it: arguments may be personal data. */
export function describeKind(value: unknown): string {
  if (typeof value !== 'object' || value === null)
    return typeof value === 'function' ? describe(value) : `a ${typeof value}`;
  try {
    const { name } = value.constructor;
    return name === 'Object' ? 'an object' : `an object of class ${name}`;
  } catch {
    return 'an object';
  }
}

/** Of any realm: errors of jest and of `vm` are no instances of this realm's Error. Throws for some proxies. */
export function isErrorOfAnyRealm(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

/** Whether it is an error in all that is read of one later on: a getter that throws would throw in a log line. */
export function isError(value: unknown): value is Error {
  try {
    if (!isErrorOfAnyRealm(value)) return false;
    const { name, message } = value;
    for (const property of ['stack', 'code', 'cause'] as const) Reflect.get(value, property);
    return typeof name === 'string' && typeof message === 'string';
  } catch {
    return false;
  }
}

/** Whatever was thrown, as an `Error`: itself where it is one, else wrapped with the thrown value as `cause`. */
export function toError(thrown: unknown): Error {
  if (isError(thrown)) return thrown;
  return new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_AN_ERROR',
    `Expected an Error to be thrown, got ${describe(thrown)}.`,
    { cause: thrown },
  );
}
