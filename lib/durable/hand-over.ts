/** Hands durable tasks to the engine: staged at `add`, released when they may run, withdrawn when they must not. */

import { BackgroundTaskError } from '../errors.ts';
import type { Attempt, Executor } from '../executors/executor.ts';
import type { TaskState } from '../task-state.ts';
import { toError } from '../to-error.ts';
import { Batches } from './batches.ts';
import type { DurableRun } from './durable-run.ts';
import type { ReleaseResult, StagedTask } from './engine.ts';
import { type Held, HoldCalls, type Near, NOT_HELD } from './hold-calls.ts';
import { type EngineLink, isRefusal } from './link.ts';
import { Repetition } from './repetition.ts';
import { type Acceptance, Withdrawals } from './withdrawals.ts';

export interface HandOverOptions {
  readonly hold: number;
  readonly acceptTimeout: number;
  /** Warns that a task runs although it should not, or later than it should. */
  readonly warn: (task: { readonly id: string; readonly name: string }, error: Error) => void;
}

/** A task to be handed over. Whether it is held is decided when it is sent to the engine. */
export interface NewDurable {
  readonly run: DurableRun;
  readonly staged: Omit<StagedTask, 'holdMs'>;
  /** The user's client, in whose transaction the task is staged. That transaction may never be committed. */
  readonly transaction: unknown;
}

class Handed implements Held {
  readonly run: DurableRun;
  readonly transaction: unknown;
  dueAt = NOT_HELD;
  /** Set when the task was not accepted in time, or not at all. The engine is not asked to take it after that. */
  isGivenUp = false;
  /** Set when the engine is asked to take the task. */
  acceptance: Promise<Acceptance> | undefined;
  /** Set when the task may run. */
  attempt: Attempt | undefined;

  constructor({ run, transaction }: NewDurable) {
    this.run = run;
    this.transaction = transaction;
  }

  get id(): string {
    return this.run.id;
  }

  get name(): string {
    return this.run.name;
  }

  /** Whether the task must not run any more, however far it has come. */
  get isWithdrawn(): boolean {
    return WITHDRAWN_AFTER.has(this.run.state);
  }
}

interface Staging {
  readonly handed: Handed;
  readonly staged: NewDurable['staged'];
}

/**
 * The ends of a run after which its task is withdrawn. After `abandoned` it is not: like the task of a process that
 * dies, it runs when its hold is over.
 */
const WITHDRAWN_AFTER: ReadonlySet<TaskState> = new Set(['skipped', 'cancelled', 'failed', 'timed-out']);

export class HandOver implements Executor {
  readonly #link: EngineLink;
  readonly #options: HandOverOptions;
  readonly #calls: HoldCalls;
  readonly #repetition = new Repetition();
  readonly #withdrawals: Withdrawals;
  readonly #handed = new Map<string, Handed>();
  readonly #staging: Batches<Staging, undefined>;
  readonly #inTransactions = new WeakMap<object, Batches<Staging, undefined>>();

  constructor(link: EngineLink, options: HandOverOptions) {
    this.#link = link;
    this.#options = options;
    this.#calls = new HoldCalls(link, options);
    this.#withdrawals = new Withdrawals(this.#calls, this.#repetition, link.engine.name, options.warn);
    this.#staging = new Batches((tasks) => this.#sendStage(tasks));
  }

  /** Stages the task: from here on it runs, unless the engine refuses it or it is withdrawn. */
  take(durable: NewDurable): void {
    const handed = new Handed(durable);
    const { run, staged } = durable;
    this.#handed.set(run.id, handed);
    run.accepted = this.#stage({ handed, staged });
    // `accepted` need not be awaited: the failure is in the outcome and in the log as well.
    run.accepted.catch(() => {});
    void run.settled.then(() => {
      if (handed.isWithdrawn) this.#withdrawals.add(handed, acceptanceOf(handed));
      this.#handed.delete(run.id);
    });
  }

  async #stage(staging: Staging): Promise<void> {
    const { handed } = staging;
    try {
      const answer = this.#stagingIn(handed.transaction).add(staging);
      // A task waits behind others, and is sent together with some that came earlier: each has its own limit.
      await this.#link.inTime('accept tasks', this.#options.acceptTimeout, answer);
    } catch (thrown) {
      handed.isGivenUp = true;
      const error = isRefusal(thrown) ? toError(thrown) : notAccepted(handed.name, toError(thrown));
      if (handed.attempt === undefined) handed.run.fail(error);
      else handed.attempt.ended({ ok: false, thrown: error });
      throw error;
    }
  }

  /** Each transaction has its own batches, one at a time: the user's client runs one statement at a time. */
  #stagingIn(transaction: unknown): Batches<Staging, undefined> {
    if (transaction === undefined) return this.#staging;
    let staging = this.#inTransactions.get(transaction as object);
    if (staging === undefined) {
      staging = new Batches((tasks) => this.#sendStage(tasks), 1);
      this.#inTransactions.set(transaction as object, staging);
    }
    return staging;
  }

  async #sendStage(tasks: readonly Staging[]): Promise<undefined[]> {
    const { hold, acceptTimeout } = this.#options;
    const held = ({ handed, staged }: Staging): StagedTask => {
      // One that may run already needs no hold. One that is to be withdrawn does: without a hold it would run.
      if (handed.attempt !== undefined && !handed.isWithdrawn) return { ...staged, holdMs: 0 };
      handed.dueAt = performance.now() + hold;
      return { ...staged, holdMs: hold };
    };
    const transaction = tasks[0]?.handed.transaction;
    await this.#link.begin(acceptTimeout, (engine) => {
      // For a task that was given up, `accepted` has rejected. That must stay true.
      const asked = tasks.filter(({ handed }) => !handed.isGivenUp);
      if (asked.length === 0) return Promise.resolve();
      const answer = engine.stage(asked.map(held), transaction === undefined ? {} : { transaction });
      const acceptance = acceptanceAfter(answer);
      for (const { handed } of asked) handed.acceptance = acceptance;
      return answer;
    });
    return new Array(tasks.length);
  }

  /** The response has ended, and the task may run. */
  execute(attempt: Attempt): void {
    attempt.started();
    const handed = this.#handed.get(attempt.facts.id) as Handed;
    handed.attempt = attempt;
    handed.run.accepted.then(
      () => (handed.isWithdrawn ? undefined : this.#release(handed, attempt)),
      () => {},
    );
  }

  async #release(handed: Handed, attempt: Attempt): Promise<void> {
    try {
      const answer = await this.#calls.release(handed);
      attempt.ended({ ok: true, value: undefined });
      // Cancelled while the answer was on its way, it is being withdrawn.
      if (answer !== 'already' || handed.transaction === undefined || handed.isWithdrawn) return;
      this.#repetition.watch(this.#releaseLater(handed));
    } catch (thrown) {
      // The task runs when its hold is over.
      attempt.ended({ ok: true, value: undefined, warning: toError(thrown) });
    }
  }

  /** A response may end before its transaction: the engine sees the task, held, only once the transaction is committed. */
  async #releaseLater(handed: Handed): Promise<void> {
    const release = (): Promise<ReleaseResult | Near> => this.#calls.release(handed);
    const last = await this.#repetition.untilNear(release, (answer) => answer === 'released', 'already');
    if (last === 'released') return;
    const found = await this.#calls.find(handed).catch(toError);
    if (found === undefined || (!(found instanceof Error) && found.state !== 'held')) return;
    const cause = [found, last].find((one) => one instanceof Error);
    this.#options.warn(handed, releasedTooLate(handed.name, cause));
  }

  /** Called by `cancel`, and by `close` when it has run out of time. */
  abort(attempt: Attempt, reason: Error): void {
    attempt.ended({ ok: false, thrown: reason });
  }

  close(grace: number): Promise<void> {
    return this.#repetition.close(grace);
  }
}

/** Whether the engine has the task. Resolves with the engine's final answer, even after the caller's own wait timed out. */
async function acceptanceOf(handed: Handed): Promise<Acceptance> {
  // Once `accepted` has settled, the engine has been asked or never will be.
  await handed.run.accepted.catch(() => {});
  const acceptance = (await handed.acceptance) ?? 'refused';
  // The transaction may yet be rolled back.
  return acceptance === 'accepted' && handed.transaction !== undefined ? 'unknown' : acceptance;
}

function acceptanceAfter(answer: Promise<void>): Promise<Acceptance> {
  return answer.then(
    () => 'accepted',
    (thrown: unknown) => (isRefusal(thrown) ? 'refused' : 'unknown'),
  );
}

function releasedTooLate(name: string, cause: Error | undefined): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_ENGINE',
    `Expected the transaction of task ${name} to be committed in time for the task to be released: it runs when its hold is over.`,
    { cause },
  );
}

function notAccepted(name: string, cause: Error): BackgroundTaskError {
  return new BackgroundTaskError('ERR_BACKGROUND_ENGINE', `Task ${name} was not accepted. ${cause.message}`, { cause });
}
