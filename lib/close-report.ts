/** What `close` returns: what became of the tasks that had not settled when it was called. */
import type { PendingRun } from './backlog.ts';
import { describe } from './describe.ts';
import type { Events } from './events.ts';
import type { Outcome } from './outcome.ts';

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

/** Counts from when it is made. */
export class CloseTally {
  readonly #events: Events;
  readonly #arguments = new Map<string, readonly string[]>();
  readonly #abandoned: AbandonedOutcome[] = [];
  #completed = 0;
  #failed = 0;

  constructor(events: Events) {
    this.#events = events;
    events.on('settled', this.#collect);
  }

  /** Those that may have to be abandoned: when they are, their arguments are gone. */
  describe(pending: readonly PendingRun[]): void {
    for (const { id, args } of pending) this.#arguments.set(id, args.map(describe));
  }

  report(): CloseReport {
    this.#events.off('settled', this.#collect);
    return Object.freeze({
      completed: this.#completed,
      failed: this.#failed,
      abandoned: Object.freeze(this.#abandoned),
    });
  }

  readonly #collect = (outcome: Outcome): void => {
    if (outcome.state === 'completed') this.#completed += 1;
    else if (outcome.state === 'failed' || outcome.state === 'timed-out') this.#failed += 1;
    else if (outcome.state === 'abandoned') {
      this.#abandoned.push(Object.freeze({ ...outcome, arguments: this.#arguments.get(outcome.id) ?? [] }));
    }
  };
}
