/** Hands durable tasks to the engine: staged at `add`, released when they may run, withdrawn when they must not. */

import { type BackgroundTaskError, engineError } from '../errors.ts';
import type { Attempt, Executor } from '../executors/executor.ts';
import type { ResolvedDurableOptions } from '../options/durable.ts';
import { toError } from '../to-error.ts';
import type { ReleaseResult } from './engine.ts';
import { type EngineLink, isRefusal } from './engine-link.ts';
import type { HandedTask } from './handed-task.ts';
import { HoldCalls, type Near } from './hold-calls.ts';
import { Repetition } from './repetition.ts';
import { Staging } from './staging.ts';
import { type Warn, Withdrawals } from './withdrawals.ts';

export class HandOver implements Executor {
  readonly #engine: string;
  readonly #warn: Warn;
  readonly #calls: HoldCalls;
  readonly #repetition = new Repetition();
  readonly #withdrawals: Withdrawals;
  readonly #staging: Staging;

  constructor(link: EngineLink, options: ResolvedDurableOptions, warn: Warn) {
    this.#engine = link.engine.name;
    this.#warn = warn;
    this.#calls = new HoldCalls(link, options);
    this.#withdrawals = new Withdrawals(this.#calls, this.#repetition, this.#engine, warn);
    this.#staging = new Staging(link, options);
  }

  /** Stages the task: from here on it runs, unless the engine refuses it or it is withdrawn. */
  take(handed: HandedTask): void {
    const { run } = handed;
    run.handed = handed;
    run.accepted = this.#stage(handed);
    // `accepted` need not be awaited: the failure is in the outcome and in the log as well.
    run.accepted.catch(() => {});
    void run.settled.then(() => {
      if (handed.isWithdrawn) this.#withdrawals.add(handed, handed.finalAcceptance());
      // The list of the response keeps the run.
      run.handed = undefined;
    });
  }

  async #stage(handed: HandedTask): Promise<void> {
    try {
      await this.#staging.add(handed);
    } catch (thrown) {
      handed.isGivenUp = true;
      const error = isRefusal(thrown) ? toError(thrown) : notAccepted(handed.name, toError(thrown));
      if (handed.attempt === undefined) handed.run.fail(error);
      else handed.attempt.ended({ ok: false, thrown: error });
      throw error;
    }
  }

  /** The response has ended, and the task may run. */
  execute(attempt: Attempt): void {
    attempt.started();
    const handed = attempt.kept as HandedTask;
    handed.attempt = attempt;
    handed.run.accepted.then(
      () => (handed.isWithdrawn ? undefined : this.#release(handed, attempt)),
      () => {},
    );
  }

  async #release(handed: HandedTask, attempt: Attempt): Promise<void> {
    try {
      const answer = await this.#calls.release(handed);
      attempt.ended({ ok: true, value: undefined });
      // Cancelled while the answer was on its way, it is being withdrawn.
      if (answer !== 'already' || handed.isWithdrawn) return;
      this.#repetition.watch(handed.transaction === undefined ? this.#tellIfLost(handed) : this.#releaseLater(handed));
    } catch (thrown) {
      attempt.ended({ ok: true, value: undefined, warning: notReleased(toError(thrown)) });
    }
  }

  /** What is not held any more before its hold is over may have been released by others, or with an answer that was lost. */
  async #tellIfLost(handed: HandedTask): Promise<void> {
    const found = await this.#calls.find(handed).catch(toError);
    if (found === undefined) this.#warn(handed, lostByEngine(handed.name, this.#engine));
  }

  /** A response may end before its transaction: the engine sees the task, held, only once the transaction is committed. */
  async #releaseLater(handed: HandedTask): Promise<void> {
    const release = (): Promise<ReleaseResult | Near> => this.#calls.release(handed);
    const last = await this.#repetition.untilNear(
      release,
      (answer) => answer === 'released',
      () => this.#calls.msUntilNear(handed),
      'already',
    );
    if (last === 'released') return;
    const atNear = await this.#calls.find(handed).catch(toError);
    if (atNear !== undefined && !(atNear instanceof Error) && atNear.state !== 'held') return;
    // It may be committed after that, and nobody releases it any more.
    const found =
      atNear ?? (await this.#repetition.after(this.#calls.msUntilDue(handed), () => this.#calls.find(handed)));
    if (found === undefined) return;
    const cause = [found, last].find((one) => one instanceof Error);
    this.#warn(handed, releasedTooLate(handed.name, cause));
  }

  /** Called by `cancel`, and by `close` when it has run out of time. */
  abort(attempt: Attempt, reason: Error): void {
    attempt.ended({ ok: false, thrown: reason });
  }

  close(grace: number): Promise<void> {
    return this.#repetition.close(grace);
  }
}

function lostByEngine(name: string, engine: string): BackgroundTaskError {
  return engineError(
    `Expected ${engine} to hold task ${name}, which it had accepted, but it is not there any more: unless it has run meanwhile, it never will.`,
  );
}

/** The answer may have been lost, and not the release. */
function notReleased(cause: Error): BackgroundTaskError {
  return engineError(`${cause.message}: the task runs when its hold is over, at the latest.`, { cause });
}

function releasedTooLate(name: string, cause: Error | undefined): BackgroundTaskError {
  return engineError(
    `Expected the transaction of task ${name} to be committed in time for the task to be released: it runs when its hold is over.`,
    { cause },
  );
}

function notAccepted(name: string, cause: Error): BackgroundTaskError {
  return engineError(`Task ${name} was not accepted. ${cause.message}`, { cause });
}
