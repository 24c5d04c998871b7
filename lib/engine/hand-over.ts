/** Hands durable tasks to the engine: staged at `add`, released when they may run, discarded when they must not. */
import { setTimeout as delay } from 'node:timers/promises';
import { BackgroundTaskError } from '../errors.ts';
import type { Attempt, Executor, ExecutorStats } from '../executors/executor.ts';
import { type Outcome, toError } from '../outcome.ts';
import { delayed, SECOND } from '../timers.ts';
import { Batches } from './batches.ts';
import type { DurableRun } from './durable-run.ts';
import type { DiscardResult, ReleaseResult, StagedTask } from './engine.ts';
import type { EngineLink } from './link.ts';

export interface HandOverOptions {
  readonly hold: number;
  readonly acceptTimeout: number;
  /** A discard did not work, and the task will run, or may have. */
  readonly onNotDiscarded: (task: { readonly id: string; readonly name: string }, error: Error) => void;
}

/** A task to be handed over. Whether it is held is decided when it goes. */
export interface NewDurable {
  readonly run: DurableRun;
  readonly staged: Omit<StagedTask, 'holdMs'>;
  /** Staged in a transaction of the user's, which may never be committed. */
  readonly transaction: unknown;
}

class Handed implements NewDurable {
  readonly run: DurableRun;
  readonly staged: NewDurable['staged'];
  readonly transaction: unknown;
  /** When its hold is over, by `performance.now()`. */
  dueAt = Number.POSITIVE_INFINITY;
  isHeld = false;
  isStaged = false;
  /** Set when it may run. */
  attempt: Attempt | undefined;

  constructor({ run, staged, transaction }: NewDurable) {
    this.run = run;
    this.staged = staged;
    this.transaction = transaction;
  }
}

/** A task is withdrawn after these; one that is abandoned, as one whose process dies, runs when its hold is over. */
const WITHDRAWN_AFTER: ReadonlySet<Outcome['state']> = new Set(['skipped', 'cancelled', 'failed', 'timed-out']);

/** Near the end of a hold nobody may know who was first: so much of it, at most, is left alone. */
const MARGIN_PART = 0.25;
const BETWEEN_DISCARDS = 0.5 * SECOND;

export class HandOver implements Executor {
  readonly #link: EngineLink;
  readonly #options: HandOverOptions;
  /** For so long before the end of a hold no call about it is under way: none lasts longer than that. */
  readonly #margin: number;
  readonly #handed = new Map<string, Handed>();
  readonly #withdrawals = new Set<Promise<void>>();
  readonly #staging: Batches<Handed, undefined>;
  readonly #inTransactions = new WeakMap<object, Batches<Handed, undefined>>();
  readonly #releasing: Batches<string, ReleaseResult>;
  readonly #discarding: Batches<string, DiscardResult>;
  #isClosed = false;

  constructor(link: EngineLink, options: HandOverOptions) {
    this.#link = link;
    this.#options = options;
    this.#margin = Math.min(options.acceptTimeout, options.hold * MARGIN_PART);
    this.#staging = new Batches((tasks, since) => this.#sendStage(tasks, since));
    this.#releasing = new Batches((ids) => link.call('release tasks', this.#margin, (engine) => engine.release(ids)));
    this.#discarding = new Batches((ids) => link.call('discard tasks', this.#margin, (engine) => engine.discard(ids)));
  }

  /** Stages the task: from here on it runs, unless the engine refuses it or it is withdrawn. */
  take(durable: NewDurable): void {
    const handed = new Handed(durable);
    const { run } = handed;
    this.#handed.set(run.id, handed);
    run.accepted = this.#stage(handed);
    // Whoever does not look finds the failure in the outcome and in the log.
    run.accepted.catch(() => {});
    void run.settled.then(({ state }) => {
      if (handed.attempt === undefined && WITHDRAWN_AFTER.has(state)) this.#withdraw(handed);
      this.#handed.delete(run.id);
    });
  }

  async #stage(handed: Handed): Promise<void> {
    try {
      await this.#stagingIn(handed.transaction).add(handed);
      handed.isStaged = true;
    } catch (thrown) {
      const error = notAccepted(handed.run.name, toError(thrown));
      if (handed.attempt === undefined) handed.run.fail(error);
      else handed.attempt.ended({ ok: false, thrown: error });
      throw error;
    }
  }

  /** A client of the user's does one thing at a time. */
  #stagingIn(transaction: unknown): Batches<Handed, undefined> {
    if (transaction === undefined) return this.#staging;
    let staging = this.#inTransactions.get(transaction as object);
    if (staging === undefined) {
      staging = new Batches((tasks, since) => this.#sendStage(tasks, since), 1);
      this.#inTransactions.set(transaction as object, staging);
    }
    return staging;
  }

  async #sendStage(tasks: readonly Handed[], since: number): Promise<undefined[]> {
    const sentAt = performance.now();
    const { hold, acceptTimeout } = this.#options;
    for (const handed of tasks) {
      handed.isHeld = handed.attempt === undefined;
      if (handed.isHeld) handed.dueAt = sentAt + hold;
    }
    const [{ transaction } = { transaction: undefined }] = tasks;
    const stagedTasks = tasks.map(({ staged, isHeld }): StagedTask => ({ ...staged, holdMs: isHeld ? hold : 0 }));
    let isLate = false;
    const limit = acceptTimeout - (sentAt - since);
    const staging = this.#link.call('accept tasks', limit, async (engine) => {
      // What was refused must not be accepted after that.
      if (isLate) return;
      await engine.stage(stagedTasks, transaction === undefined ? {} : { transaction });
      if (isLate) this.#tooLate(tasks);
    });
    try {
      await staging;
    } catch (thrown) {
      isLate = true;
      throw thrown;
    }
    return new Array(tasks.length);
  }

  /** The engine took so long that the handler was told it had not: nobody waits for these tasks any more. */
  #tooLate(tasks: readonly Handed[]): void {
    for (const handed of tasks) {
      handed.isStaged = true;
      this.#withdraw(handed);
    }
  }

  /** The response has ended, and the task may run. */
  execute(attempt: Attempt): void {
    attempt.started();
    const handed = this.#handed.get(attempt.facts.id) as Handed;
    handed.attempt = attempt;
    handed.run.accepted.then(
      () => this.#release(handed, attempt),
      () => {},
    );
  }

  async #release({ run, isHeld, dueAt }: Handed, attempt: Attempt): Promise<void> {
    if (isHeld && !this.#isNear(dueAt)) {
      try {
        await this.#releasing.add(run.id);
      } catch (thrown) {
        // Its hold will be over: it runs then.
        attempt.ended({ ok: true, value: undefined, warning: toError(thrown) });
        return;
      }
    }
    attempt.ended({ ok: true, value: undefined });
  }

  /** `cancel`, or `close` that has run out of time. */
  abort(attempt: Attempt, reason: Error): void {
    const handed = this.#handed.get(attempt.facts.id) as Handed;
    attempt.ended({ ok: false, thrown: reason });
    if (handed.run.state === 'cancelled') this.#withdraw(handed);
  }

  #withdraw(handed: Handed): void {
    const withdrawal = this.#discard(handed).catch((thrown) => {
      const { id, name } = handed.run;
      this.#options.onNotDiscarded({ id, name }, toError(thrown));
    });
    this.#withdrawals.add(withdrawal);
    void withdrawal.then(() => this.#withdrawals.delete(withdrawal));
  }

  /** A discard that failed is tried again for as long as the hold lasts: nothing else keeps the task from running. */
  async #discard(handed: Handed): Promise<void> {
    const { run, transaction } = handed;
    if (!handed.isStaged) {
      try {
        await run.accepted;
      } catch {
        return;
      }
    }
    let cause: unknown;
    while (handed.isHeld && !this.#isNear(handed.dueAt)) {
      try {
        const result = await this.#discarding.add(run.id);
        // What was never committed is not there either; nor is what was discarded by a call whose answer was lost.
        if (result === 'discarded' || transaction !== undefined) return;
        if (cause !== undefined && (await this.#isGone(run.id))) return;
        cause = undefined;
        break;
      } catch (thrown) {
        cause = thrown;
        if (this.#isClosed) break;
        await delay(BETWEEN_DISCARDS);
      }
    }
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_DISCARDED',
      `Expected task ${run.name} to be withdrawn from ${this.#link.engine.name}, but ${cause === undefined ? 'it was too late' : toError(cause).message}: it will run, or has run.`,
      { cause },
    );
  }

  /** What has run is still there for a while. */
  async #isGone(id: string): Promise<boolean> {
    return (await this.#link.call('find a task', this.#margin, (engine) => engine.find(id))) === undefined;
  }

  #isNear(dueAt: number): boolean {
    return performance.now() > dueAt - this.#margin;
  }

  stats(): ExecutorStats {
    return { queued: this.#handed.size, running: 0 };
  }

  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    await delayed(grace, Promise.all(this.#withdrawals));
  }
}

function notAccepted(name: string, cause: Error): BackgroundTaskError {
  return new BackgroundTaskError('ERR_BACKGROUND_ENGINE', `Task ${name} was not accepted. ${cause.message}`, { cause });
}
