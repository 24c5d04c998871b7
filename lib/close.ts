/** The end of an instance: nothing more comes in, what is in gets its time, and what is left is named. */

import type { PendingRun } from './backlog.ts';
import { describe } from './describe.ts';
import type { Executor } from './executors/executor.ts';
import { EXECUTOR_NAMES, type WorkerKind } from './executors/names.ts';
import { aNumber, check, either, oneOf } from './option-rules.ts';
import type { Outcome, OutcomeState } from './outcome.ts';
import type { Runtime } from './runtime.ts';
import { doneWithin, LONGEST_TIMER, SECOND } from './timers.ts';

/** Options of `close`. */
export interface CloseOptions {
  /**
   * How long everything may take, in milliseconds; `Infinity`: as long as the tasks do. The clock starts at the call.
   * The last fifth of it, at most a second, is kept for what has to be stopped: half of that for threads and
   * processes, which are then ended, and what is left after them for what heeds its signal on the event loop.
   *
   * @default 10_000
   */
  readonly timeout?: number | undefined;
}

/** A task that time ran out for, with what is needed to do its work elsewhere. */
export type AbandonedOutcome = Outcome & {
  /** Its arguments in words, as `util.inspect` has them, shortened. For the application's eyes: they are in no log line of the package. */
  readonly arguments: readonly string[];
};

/** What became of the tasks that had not settled when `close` was called, and of those that they added. */
export interface CloseReport {
  /** How many completed in the meantime. */
  readonly completed: number;
  /** How many failed or timed out in the meantime. */
  readonly failed: number;
  /** Those that time ran out for. */
  readonly abandoned: readonly AbandonedOutcome[];
}

const DEFAULT_TIMEOUT = 10 * SECOND;
const LONGEST_GRACE = 1 * SECOND;
const GRACE_PART = 0.2;
/** Of the grace, for code in threads and processes that heeds its signal. It takes time to end what does not. */
const HEEDING_PART = 0.5;
/** And at least for code on the event loop, after that, where ending took the rest of the time. */
const LAST_PART = 0.25;

const ELSEWHERE = EXECUTOR_NAMES.filter((name) => name !== 'event-loop');

/** The engine's side of the end; none without one. */
interface Durable {
  /** Fetches no more tasks to run. */
  stop(): void;
  /** When nothing is under way any more. */
  close(): Promise<void>;
}

/** What there is to be closed. */
interface Closable {
  readonly runtime: Runtime;
  /** Those of worker threads and processes, in a test's mode as well: there they are not among the executors. */
  readonly pools: Readonly<Record<WorkerKind, Executor>>;
  readonly durable: Durable | undefined;
}

export async function close({ runtime, pools, durable }: Closable, options: CloseOptions): Promise<CloseReport> {
  const { timeout = DEFAULT_TIMEOUT } = options;
  const deadline = performance.now() + timeout;
  const { backlog, reporter, executors } = runtime;
  const before = tally(runtime);
  const abandoned: AbandonedOutcome[] = [];
  const described = new Map<string, readonly string[]>();
  const collect = (outcome: Outcome): void => {
    if (outcome.state !== 'abandoned') return;
    abandoned.push(Object.freeze({ ...outcome, arguments: described.get(outcome.id) ?? [] }));
  };
  reporter.events.on('settled', collect);

  backlog.drain();
  durable?.stop();
  reporter.closing(backlog.size, timeout);
  const grace = Math.min(LONGEST_GRACE, timeout * GRACE_PART);
  if (timeout === Number.POSITIVE_INFINITY) await backlog.idle();
  else await doneWithin(timeout - grace, backlog.idle());

  backlog.close();
  const { pending } = backlog;
  for (const run of pending) described.set(run.id, run.args.map(describe));
  // Those that wait go first, and of them those that have not begun: the end of another would start the next in its list.
  const waiting = pending.filter(({ state }) => state === 'waiting');
  for (const run of waiting) if (run.attemptNumber === 0) run.abandon();
  for (const run of waiting) run.abandon();
  // What listens to a signal on the event loop may never come back: it hears it when all others have settled and were logged.
  const others = pending.filter((run) => !run.isSettled && !runsHere(run));
  for (const run of others) run.abandon();
  const elsewhere = new Set([...ELSEWHERE.map((name) => executors[name]), ...Object.values(pools)]);
  const ends = [...elsewhere].map((executor) => executor.close(grace * HEEDING_PART));
  await Promise.all(others.map(({ settled }) => settled));
  for (const run of pending) run.abandon();
  const left = Math.max(grace * LAST_PART, Math.min(grace, deadline - performance.now()));
  await Promise.all([...ends, executors['event-loop'].close(left)]);
  await backlog.idle();
  await durable?.close();

  reporter.events.off('settled', collect);
  const after = tally(runtime);
  const completed = after.completed - before.completed;
  const failed = after.failed + after['timed-out'] - before.failed - before['timed-out'];
  reporter.closed({ completed, failed, abandoned: abandoned.length });
  return Object.freeze({ completed, failed, abandoned: Object.freeze(abandoned) });
}

function runsHere({ executor, state }: PendingRun): boolean {
  return executor === 'event-loop' && state === 'running';
}

/** Checked before anything is closed: a mistake in the call must not cost the tasks. */
export function checkCloseOptions(options: CloseOptions): CloseOptions {
  const timeout = either(
    aNumber(`a number of milliseconds from 0 to ${LONGEST_TIMER}`, 0, LONGEST_TIMER),
    oneOf(Number.POSITIVE_INFINITY),
  );
  return check(options, { timeout }, 'close()');
}

function tally({ backlog }: Runtime): Record<Extract<OutcomeState, 'completed' | 'failed' | 'timed-out'>, number> {
  const sum = { completed: 0, failed: 0, 'timed-out': 0 };
  for (const name of EXECUTOR_NAMES) {
    const counts = backlog.counts(name);
    sum.completed += counts.completed;
    sum.failed += counts.failed;
    sum['timed-out'] += counts['timed-out'];
  }
  return sum;
}
