/** What `close` returns: what became of the tasks that had not settled when it was called. */
import type { PendingRun } from './backlog.ts';
import { describe } from './describe.ts';
import { EXECUTOR_NAMES } from './executor-names.ts';
import type { Outcome, OutcomeState } from './outcome.ts';
import type { Runtime } from './runtime.ts';

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

type Counted = Extract<OutcomeState, 'completed' | 'failed' | 'timed-out'>;

/** Counts from when it is made. */
export class CloseTally {
  readonly #runtime: Runtime;
  readonly #before: Readonly<Record<Counted, number>>;
  readonly #arguments = new Map<string, readonly string[]>();
  readonly #abandoned: AbandonedOutcome[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#before = countsOf(runtime);
    runtime.reporter.events.on('settled', this.#collect);
  }

  /** Those that may have to be abandoned: when they are, their arguments are gone. */
  describe(pending: readonly PendingRun[]): void {
    for (const { id, args } of pending) this.#arguments.set(id, args.map(describe));
  }

  report(): CloseReport {
    this.#runtime.reporter.events.off('settled', this.#collect);
    const [before, after] = [this.#before, countsOf(this.#runtime)];
    return Object.freeze({
      completed: after.completed - before.completed,
      failed: after.failed + after['timed-out'] - before.failed - before['timed-out'],
      abandoned: Object.freeze(this.#abandoned),
    });
  }

  readonly #collect = (outcome: Outcome): void => {
    if (outcome.state !== 'abandoned') return;
    this.#abandoned.push(Object.freeze({ ...outcome, arguments: this.#arguments.get(outcome.id) ?? [] }));
  };
}

function countsOf({ backlog }: Runtime): Record<Counted, number> {
  const sum = { completed: 0, failed: 0, 'timed-out': 0 };
  for (const name of EXECUTOR_NAMES) {
    const counts = backlog.counts(name);
    sum.completed += counts.completed;
    sum.failed += counts.failed;
    sum['timed-out'] += counts['timed-out'];
  }
  return sum;
}
