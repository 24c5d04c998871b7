/** The end of an instance: nothing more comes in, what is in gets its time, and what is left is named. */
import type { PendingRun } from './backlog.ts';
import { type CloseReport, CloseTally } from './close-report.ts';
import { EXECUTOR_NAMES } from './executor-names.ts';
import type { Instance } from './instance.ts';
import { check } from './options/check.ts';
import { either, forever, milliseconds } from './options/rules.ts';
import { now } from './time/real-time.ts';
import { doneWithin, SECOND } from './time/timers.ts';

/** Options of `close`. */
export interface CloseOptions {
  /**
   * The longest that `close` may take, in milliseconds, from the call; `Infinity` waits for every task. The last fifth of
   * it, at most a second, is kept for stopping what is left: aborted tasks in threads and processes have half of that to
   * heed their signal, then their threads and processes are ended; aborted tasks on the event loop have the rest. Ending
   * threads and processes may take half a second more, as may the watchdog's report of a block that has just ended; an
   * engine that does not answer a second.
   *
   * @default 10_000
   */
  readonly timeout?: number | undefined;
}

const DEFAULT_TIMEOUT = 10 * SECOND;
const LONGEST_GRACE = 1 * SECOND;
const GRACE_PART = 0.2;
/** The part of the grace in which threads and processes may heed their signal. Ending those that do not takes the rest. */
const HEEDING_PART = 0.5;
/** The part that code on the event loop gets at least, even where ending threads and processes took all the time. */
const LAST_PART = 0.25;

/**
 * How long it may take until everybody is told of the last ends, in milliseconds: a few turns of the event loop. There are
 * ends that nobody will be told of: where the application's code has used up the stack in an endless recursion that adds tasks.
 */
const LONGEST_TELLING = 1 * SECOND;

const ELSEWHERE = EXECUTOR_NAMES.filter((name) => name !== 'event-loop');

export async function close(instance: Instance, options: CloseOptions): Promise<CloseReport> {
  const { timeout = DEFAULT_TIMEOUT } = options;
  const deadline = now() + timeout;
  const grace = Math.min(LONGEST_GRACE, timeout * GRACE_PART);
  const { runtime, durable } = instance;
  const { backlog, reporter } = runtime;
  const tally = new CloseTally(reporter.events);

  backlog.drain();
  durable?.stop();
  reporter.notices.closing(backlog.size, timeout);
  if (timeout === Number.POSITIVE_INFINITY) await backlog.idle();
  else await doneWithin(timeout - grace, backlog.idle());
  backlog.close();

  tally.describe(backlog.pending);
  await endPending(instance, grace, deadline);
  await durable?.close(deadline - now());

  const report = tally.report();
  reporter.notices.closed(report);
  return report;
}

/** Abandons what is left, and ends what it runs in. */
async function endPending({ runtime, pools }: Instance, grace: number, deadline: number): Promise<void> {
  const { backlog, executors } = runtime;
  const { pending } = backlog;
  const elsewhere = abandonAllButThoseThatRunHere(pending);
  // In a test's mode the pools are not among the executors.
  const workers = new Set([...ELSEWHERE.map((name) => executors[name]), ...Object.values(pools)]);
  const ends = [...workers].map((executor) => executor.close(grace * HEEDING_PART));
  await Promise.all(elsewhere.map(({ settled }) => settled));
  // An abort listener on the event loop may never return: these signals abort last, when all others are settled and logged.
  for (const run of pending) run.abandon();
  const left = Math.max(grace * LAST_PART, Math.min(grace, deadline - now()));
  await Promise.all([...ends, executors['event-loop'].close(left)]);
  await doneWithin(LONGEST_TELLING, backlog.idle());
}

/** Returns those that run elsewhere: they have to be stopped before they settle. */
function abandonAllButThoseThatRunHere(pending: readonly PendingRun[]): readonly PendingRun[] {
  // Waiting tasks first, and of these the ones that never started: ending any other would start the next one in its list.
  const waiting = pending.filter(({ state }) => state === 'waiting');
  for (const run of waiting) if (run.attemptNumber === 0) run.abandon();
  for (const run of waiting) run.abandon();
  const elsewhere = pending.filter((run) => !run.isSettled && !runsHere(run));
  for (const run of elsewhere) run.abandon();
  return elsewhere;
}

function runsHere({ executor, state }: PendingRun): boolean {
  return executor === 'event-loop' && state === 'running';
}

/** Checked before anything is closed: a mistake in the call must not cost the tasks. */
export function checkCloseOptions(options: CloseOptions): CloseOptions {
  return check(options, { timeout: either(milliseconds(0), forever) }, 'close()');
}
