/** How a task can end: the closed union of outcomes. */
import type { ExecutorName } from './executor-names.ts';

/** How a response ended, as its tasks see it. */
export interface ResponseEnd {
  /** `sent`: every byte was handed to the system. `aborted`: the client hung up, or the response was destroyed. */
  readonly ended: 'sent' | 'aborted';
  /** The response's status code at its end. */
  readonly statusCode: number;
}

/** All states that a task can end in, for tables that must name each. */
export const OUTCOME_STATES = ['completed', 'failed', 'timed-out', 'cancelled', 'skipped', 'abandoned'] as const;

/** What a task ended as. */
export type OutcomeState = (typeof OUTCOME_STATES)[number];

interface OutcomeFacts {
  /** The id of the task's handle. */
  readonly id: string;
  /** The task's name. */
  readonly name: string;
  /** Where it ran, or would have run. */
  readonly executor: ExecutorName;
  /** How often it was started. `0`: never. */
  readonly attempts: number;
  /**
   * Milliseconds from `add` to the first start; to the end, where it never started. One whose thread or process was gone
   * before the code began is none: then it is to the next.
   */
  readonly waitedMs: number;
  /** Milliseconds that its attempts ran, all together. The waits between them do not count. */
  readonly ranMs: number;
  /** How the response ended. Absent for a task without a response, and for one that settled before that end. */
  readonly response?: ResponseEnd;
}

/** The end of a task that did its work. */
export interface CompletedOutcome<Value = unknown> extends OutcomeFacts {
  readonly state: 'completed';
  /** What the function returned; `undefined` where it could not cross from its thread or process, or was larger than `maxResultSize`. */
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

/** The facts of an outcome, wherever they are kept. */
type OutcomeSource = Pick<OutcomeFacts, 'id' | 'name' | 'executor' | 'attempts' | 'waitedMs' | 'ranMs'>;

/** Written out, property by property: spreading costs more than all else at the end of a task. */
export function outcomeOf(task: OutcomeSource, verdict: Verdict, response: ResponseEnd | undefined): Outcome {
  const outcome: { -readonly [Name in keyof Outcome]: unknown } = {
    id: task.id,
    name: task.name,
    executor: task.executor,
    state: verdict.state,
    attempts: task.attempts,
    waitedMs: task.waitedMs,
    ranMs: task.ranMs,
  };
  if (verdict.state === 'completed') outcome.value = verdict.value;
  else if (verdict.state !== 'skipped') outcome.error = verdict.error;
  if (response !== undefined) outcome.response = response;
  return outcome as Outcome;
}
