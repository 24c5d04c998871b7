/** Asks the engine to take tasks, as many as there are in one call. */
import { Batches } from './batches.ts';
import type { StagedTask } from './engine.ts';
import { type EngineLink, isRefusal } from './engine-link.ts';
import type { HandedTask, NewDurable } from './handed-task.ts';
import type { Acceptance } from './withdrawals.ts';

interface StagingOptions {
  readonly hold: number;
  readonly acceptTimeout: number;
}

interface Entry extends Pick<NewDurable, 'staged' | 'bytes'> {
  readonly handed: HandedTask;
}

export class Staging {
  readonly #link: EngineLink;
  readonly #options: StagingOptions;
  readonly #batches: Batches<Entry, undefined>;
  readonly #inTransactions = new WeakMap<object, Batches<Entry, undefined>>();

  constructor(link: EngineLink, options: StagingOptions) {
    this.#link = link;
    this.#options = options;
    this.#batches = new Batches((tasks) => this.#send(tasks), { bytesOf });
  }

  /** Resolves when the engine has the task. Rejects if it has not said so in time, or refuses it. */
  add(handed: HandedTask, { staged, bytes }: NewDurable): Promise<void> {
    const answer = this.#batchesOf(handed.transaction).add({ handed, staged, bytes });
    // A task waits behind others, and is sent together with some that came earlier: each has its own limit.
    return this.#link.inTime('accept tasks', this.#options.acceptTimeout, answer);
  }

  /** Each transaction has its own batches, one at a time: the user's client runs one statement at a time. */
  #batchesOf(transaction: unknown): Batches<Entry, undefined> {
    if (transaction === undefined) return this.#batches;
    let batches = this.#inTransactions.get(transaction as object);
    if (batches === undefined) {
      batches = new Batches((tasks) => this.#send(tasks), { bytesOf, mostCalls: 1 });
      this.#inTransactions.set(transaction as object, batches);
    }
    return batches;
  }

  async #send(tasks: readonly Entry[]): Promise<undefined[]> {
    const { hold, acceptTimeout } = this.#options;
    const held = ({ handed, staged }: Entry): StagedTask => {
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
}

function bytesOf({ bytes }: Entry): number {
  return bytes;
}

function acceptanceAfter(answer: Promise<void>): Promise<Acceptance> {
  return answer.then(
    () => 'accepted',
    (thrown: unknown) => (isRefusal(thrown) ? 'refused' : 'unknown'),
  );
}
