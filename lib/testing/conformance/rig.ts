/** What a case works with: an empty engine, workers that record what they start, and ways to wait. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { deferred } from '../../deferred.ts';
import type {
  DurableState,
  DurableTask,
  EngineHost,
  EngineStats,
  EngineWorker,
  ReleaseResult,
  StagedTask,
  TaskEngine,
  TaskEnvelope,
  WorkContext,
  WorkResult,
} from '../../durable/engine.ts';
import { durableId } from '../../task-id.ts';
import { doneWithin, SECOND } from '../../time/timers.ts';

/** An engine over a store that holds nothing yet, and that nobody else uses. */
export interface EngineUnderTest {
  /** Not started. */
  readonly engine: TaskEngine;
  /** Another engine over the same store, not started. Without it, the cases about two engines try less. */
  readonly second?: () => Promise<TaskEngine>;
  /**
   * Begins a transaction of a user's, calls `body` with what {@link StageOptions.transaction} takes, then commits or
   * rolls back. Without it, staging in transactions is not tried.
   */
  readonly transaction?: (end: 'commit' | 'rollback', body: (transaction: unknown) => Promise<void>) => Promise<void>;
  /** Removes the store. Called when all engines have been closed. */
  dispose(): Promise<void> | void;
}

/** Makes an engine over an empty store. Called once for each case. */
export type MakeEngine = () => Promise<EngineUnderTest>;

/** The cases, each under what it shows. */
export type Cases = Readonly<Record<string, (rig: Rig) => Promise<void>>>;

/** One start of a task by one of the workers. */
export interface Start {
  readonly id: string;
  /** The first worker of a case is `1`. */
  readonly worker: number;
  /** When, by `performance.now()`. */
  readonly at: number;
  readonly envelope: TaskEnvelope;
  readonly context: WorkContext;
}

type Behaviour = (start: Start) => WorkResult | Promise<WorkResult>;

interface RigWorkOptions {
  readonly concurrency?: number;
  readonly engine?: TaskEngine;
}

/** The parts of a task that matter to a case. The rest is filled in. */
type TaskWish = Partial<Omit<StagedTask, 'envelope' | 'retry'>> & {
  readonly envelope?: Partial<TaskEnvelope>;
  readonly retry?: Partial<StagedTask['retry']>;
};

export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export const COMPLETED: WorkResult = Object.freeze({ kind: 'completed', value: undefined });

/** As many as the package sends in one call. */
export const MANY = 500;

/** The part of a hold, or of a wait, that must be over before a task starts: timers and clocks may be a little off. */
export const MOST_OF = 0.8;

/** Longer than any case: such a hold ends by a release, or not at all. */
export const LONG_HOLD = 600 * SECOND;

/** The name of the last task, of {@link Rig.drain}. */
const LAST = 'conformance.last';
const BETWEEN_LOOKS = 10;
/** One for all ids: they sort in the order in which they were made, as those of an application do. */
const PREFIX = randomUUID().slice(0, 8);
let made = 0;

/** As in {@link ConformanceOptions}. */
interface Patience {
  readonly patience: number;
  readonly recoveryPatience: number;
}

export class Rig {
  readonly engine: TaskEngine;
  /** All starts so far, by all workers, in order. */
  readonly starts: Start[] = [];
  readonly #underTest: EngineUnderTest;
  readonly #patience: number;
  readonly #recoveryPatience: number;
  readonly #engines: TaskEngine[] = [];
  readonly #workers: EngineWorker[] = [];
  readonly #gates: Gate[] = [];
  /** The engine's warnings and errors. */
  readonly #told: string[] = [];
  readonly #seenLast = new Set<string>();
  #workersMade = 0;

  constructor(underTest: EngineUnderTest, { patience, recoveryPatience }: Patience) {
    this.#underTest = underTest;
    this.#patience = patience;
    this.#recoveryPatience = recoveryPatience;
    this.engine = this.#bounded(underTest.engine);
  }

  get transaction(): EngineUnderTest['transaction'] {
    return this.#underTest.transaction;
  }

  readonly host: EngineHost = {
    warn: (message) => this.#told.push(message),
    error: (error) => this.#told.push(String(error)),
  };

  async start(engine = this.engine): Promise<TaskEngine> {
    this.#engines.push(engine);
    await engine.start(this.host);
    return engine;
  }

  /** Another engine over the same store, started; or the first one where there is no other. */
  async second(): Promise<TaskEngine> {
    const { second } = this.#underTest;
    return second === undefined ? this.engine : this.start(this.#bounded(await second()));
  }

  /** Another engine that is not started, where there can be one. */
  async unstarted(): Promise<TaskEngine | undefined> {
    const { second } = this.#underTest;
    return second === undefined ? undefined : this.#bounded(await second());
  }

  async dispose(): Promise<void> {
    for (const gate of this.#gates) gate.open();
    const rest = [...this.#workers.map((worker) => worker.stop()), ...this.#engines.map((engine) => engine.close())];
    await doneWithin(this.#patience, Promise.allSettled(rest));
    await this.#underTest.dispose();
  }

  task({ envelope, retry, ...rest }: TaskWish = {}): StagedTask {
    made += 1;
    return {
      envelope: { v: 1, id: durableId(PREFIX, made), task: 'conformance.task', args: [], ...envelope },
      holdMs: LONG_HOLD,
      priority: 0,
      retry: { attempts: 1, delay: 0, factor: 1, maxDelay: 60 * SECOND, jitter: 0, ...retry },
      ...rest,
    };
  }

  tasks(count: number, wish: TaskWish = {}): StagedTask[] {
    return Array.from({ length: count }, () => this.task(wish));
  }

  /** Stages one task, and returns its id. */
  async stageOne(wish: TaskWish = {}, engine = this.engine): Promise<string> {
    const [id] = await this.stage([this.task(wish)], engine);
    return id as string;
  }

  async stage(tasks: readonly StagedTask[], engine = this.engine): Promise<string[]> {
    await engine.stage(tasks, {});
    return tasks.map(({ envelope }) => envelope.id);
  }

  async releaseOne(id: string, engine = this.engine): Promise<ReleaseResult | undefined> {
    return (await engine.release([id]))[0];
  }

  /** Starts a worker. Without `behaviour` it completes every task. */
  async work(behaviour: Behaviour = () => COMPLETED, options: RigWorkOptions = {}): Promise<EngineWorker> {
    const { engine = this.engine, concurrency = 1 } = options;
    this.#workersMade += 1;
    const number = this.#workersMade;
    const worker = await engine.work(
      async (envelope, context) => {
        const { id } = envelope;
        if (envelope.task === LAST) {
          this.#seenLast.add(id);
          return COMPLETED;
        }
        const start = { id, worker: number, at: performance.now(), envelope, context };
        this.starts.push(start);
        return behaviour(start);
      },
      { concurrency },
    );
    this.#workers.push(worker);
    return worker;
  }

  /** How often the task was started. */
  startsOf(id: string): number {
    return this.starts.filter((start) => start.id === id).length;
  }

  gate(): Gate {
    const { promise: opened, resolve: open } = deferred();
    const gate = { opened, open };
    this.#gates.push(gate);
    return gate;
  }

  /** Looks again and again until `probe` finds something. */
  async until<Found>(
    what: string,
    probe: () => Found | Promise<Found>,
    patience = this.#patience,
  ): Promise<NonNullable<Found>> {
    const until = performance.now() + patience;
    for (;;) {
      const found = await probe();
      if (found !== undefined && found !== null && found !== false) return found;
      if (performance.now() > until) {
        const told = this.#told.length === 0 ? '' : ` The engine reported: ${this.#told.join('; ')}`;
        throw new assert.AssertionError({ message: `Waited ${patience} ms in vain: ${what}.${told}` });
      }
      await delay(BETWEEN_LOOKS);
    }
  }

  /** Waits longer, since each engine takes its own time to notice that a worker is gone. */
  untilRecovered(what: string, probe: () => boolean): Promise<unknown> {
    return this.until(what, probe, this.#recoveryPatience);
  }

  untilStarted(count: number): Promise<unknown> {
    return this.until(`${count} starts`, () => this.starts.length >= count);
  }

  /** Waits until all of these tasks are in this state. @returns the last of them. */
  untilState(ids: readonly string[], state: DurableState): Promise<DurableTask> {
    return this.until(`${ids.length} tasks ${state}`, async () => {
      let last: DurableTask | undefined;
      for (const id of ids) {
        last = await this.engine.find(id);
        if (last?.state !== state) return undefined;
      }
      return last;
    });
  }

  async state(id: string): Promise<DurableState | undefined> {
    return (await this.engine.find(id))?.state;
  }

  /**
   * Resolves when every task that may run has run: then a last task, queued behind all others, is started. With `holdMs`
   * that one is held, and so comes after all tasks whose holds began earlier and are not longer.
   */
  async drain(holdMs = 0): Promise<void> {
    const last = await this.stageOne({ envelope: { task: LAST }, holdMs, priority: -100 });
    await this.until('a last task behind all others was started', () => this.#seenLast.has(last));
    await this.until('nothing is waiting or running any more', async () => {
      const { waiting, running } = await this.engine.stats();
      return waiting + running === 0;
    });
  }

  async untilStats(expected: EngineStats): Promise<void> {
    let seen: EngineStats | undefined;
    try {
      await this.until('the stats', async () => {
        seen = await this.engine.stats();
        return Object.entries(expected).every(([state, count]) => seen?.[state as keyof EngineStats] === count);
      });
    } catch (thrown) {
      isSame(seen, expected);
      throw thrown;
    }
  }

  /** The same engine, but every call that hangs for longer than the patience of a case rejects. */
  #bounded(engine: TaskEngine): TaskEngine {
    const bounded =
      <Args extends unknown[], Result>(method: string, call: (...args: Args) => Promise<Result>) =>
      (...args: Args): Promise<Result> =>
        new Promise((resolve, reject) => {
          const message = `Expected ${method}() of ${engine.name} to be settled within ${this.#patience} ms.`;
          const timer = setTimeout(() => reject(new assert.AssertionError({ message })), this.#patience);
          const answer = async (): Promise<Result> => call.apply(engine, args);
          void answer()
            .then(resolve, reject)
            .finally(() => clearTimeout(timer));
        });
    return {
      name: engine.name,
      features: engine.features,
      start: bounded('start', engine.start),
      stage: bounded('stage', engine.stage),
      release: bounded('release', engine.release),
      discard: bounded('discard', engine.discard),
      work: bounded('work', engine.work),
      find: bounded('find', engine.find),
      stats: bounded('stats', engine.stats),
      close: bounded('close', engine.close),
    };
  }
}

/** Compares as JSON: test runners have more than one `Object`, and engines more than one way to parse. */
export function isSame(actual: unknown, expected: unknown): void {
  assert.deepEqual(jsonOf(actual), jsonOf(expected));
}

function jsonOf(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
