/** Asks the engine to take tasks, as many as there are in one call. */
import type { ResolvedDurableOptions } from '../options/durable.ts';
import { Batches } from './batches.ts';
import { type EngineLink, isRefusal } from './engine-link.ts';
import type { Acceptance, HandedTask } from './handed-task.ts';

export class Staging {
  readonly #link: EngineLink;
  readonly #options: ResolvedDurableOptions;
  readonly #batches: Batches<HandedTask, undefined>;
  readonly #inTransactions = new WeakMap<object, Batches<HandedTask, undefined>>();

  constructor(link: EngineLink, options: ResolvedDurableOptions) {
    this.#link = link;
    this.#options = options;
    this.#batches = new Batches((tasks) => this.#send(tasks), { bytesOf });
  }

  /** Resolves when the engine has the task. Rejects if it has not said so in time, or refuses it. */
  add(task: HandedTask): Promise<void> {
    const answer = this.#batchesOf(task.transaction).add(task);
    // A task waits behind others, and is sent together with some that came earlier: each has its own limit.
    return this.#link.inTime('accept tasks', this.#options.acceptTimeout, answer);
  }

  /** Each transaction has its own batches, one at a time: the user's client runs one statement at a time. */
  #batchesOf(transaction: unknown): Batches<HandedTask, undefined> {
    if (transaction === undefined) return this.#batches;
    let batches = this.#inTransactions.get(transaction as object);
    if (batches === undefined) {
      batches = new Batches((tasks) => this.#send(tasks), { bytesOf, mostCalls: 1 });
      this.#inTransactions.set(transaction as object, batches);
    }
    return batches;
  }

  async #send(tasks: readonly HandedTask[]): Promise<undefined[]> {
    const { hold, acceptTimeout } = this.#options;
    const transaction = tasks[0]?.transaction;
    await this.#link.begin(acceptTimeout, (engine) => {
      // For a task that was given up, `accepted` has rejected. That must stay true.
      const asked = tasks.filter(({ isGivenUp }) => !isGivenUp);
      if (asked.length === 0) return Promise.resolve();
      const staged = asked.map((task) => task.toStage(hold));
      const answer = engine.stage(staged, transaction === undefined ? {} : { transaction });
      const acceptance = acceptanceAfter(answer);
      for (const task of asked) task.acceptance = acceptance;
      return answer;
    });
    return new Array(tasks.length);
  }
}

function bytesOf({ bytes }: HandedTask): number {
  return bytes;
}

function acceptanceAfter(answer: Promise<void>): Promise<Acceptance> {
  return answer.then(
    () => 'accepted',
    (thrown: unknown) => (isRefusal(thrown) ? 'refused' : 'unknown'),
  );
}
