/** A web application with an engine in memory, and what can be seen of the two. */
import {
  type BackgroundTasksOptions,
  backgroundTasks,
  type DurableBackgroundTasks,
  type DurableTask,
  durable,
  type TaskEngine,
} from 'express-background-tasks';
import { type EngineMethod, type MemoryEngine, memoryEngine } from 'express-background-tasks/testing/engine';
import type * as durableTasks from '../fixtures/durable-tasks.cjs';
import { atEnd } from './cleanup.ts';
import { type Answer, request } from './clients.ts';
import { fixture } from './fixtures.ts';
import { type LogBook, openLogBook } from './log-book.ts';
import { type Framework, frameworks, type Handler, serve } from './servers.ts';
import { untilHolds } from './time.ts';

export const tasks = durable<typeof durableTasks>('tasks', fixture('durable-tasks.cjs'));
export const localTasks = durable<typeof durableTasks>('local', fixture('durable-tasks.cjs'), {
  executor: 'event-loop',
});

/** Stands in the place of a method of the engine, which `proceed` calls. */
export type Fault = (proceed: () => Promise<unknown>) => Promise<unknown>;

export interface DurableApp {
  readonly background: DurableBackgroundTasks;
  readonly engine: MemoryEngine;
  readonly log: LogBook;
  /** The ids that each call of a method was about, in order. */
  calls(method: 'stage' | 'release' | 'discard'): readonly (readonly string[])[];
  request(path?: string): Promise<Answer>;
  /** The task as the engine has it. */
  find(id: string): Promise<DurableTask | undefined>;
  /** Resolves to the task as the engine has it, as soon as it is in that state. */
  until(id: string, state: DurableTask['state']): Promise<DurableTask>;
}

export interface AppOptions extends Omit<BackgroundTasksOptions, 'engine' | 'logger'> {
  readonly faults?: Partial<Record<EngineMethod, Fault>>;
  readonly framework?: Framework;
  readonly engine?: MemoryEngine;
  /** Whether the engine takes a {@link Transaction}. */
  readonly transactions?: boolean;
}

/** What is staged in it is there when it is committed, and not before. */
export class Transaction {
  readonly #staged: (() => Promise<unknown>)[] = [];

  async take(proceed: () => Promise<unknown>): Promise<void> {
    this.#staged.push(proceed);
  }

  async commit(): Promise<void> {
    for (const proceed of this.#staged.splice(0)) await proceed();
  }
}

export async function durableApp(handler: Handler, options: AppOptions = {}): Promise<DurableApp> {
  const { faults = {}, framework = frameworks[0] as Framework, engine = memoryEngine(), ...rest } = options;
  const { transactions = false, ...others } = rest;
  const log = openLogBook();
  const calls: [EngineMethod, unknown][] = [];
  const connection = engine.connect({
    intercept: (method, proceed, [argument, stageOptions]) => {
      calls.push([method, argument]);
      const { transaction } = (method === 'stage' ? stageOptions : {}) as { transaction?: Transaction };
      const made = transaction === undefined ? proceed : () => transaction.take(proceed);
      return (faults[method] ?? ((call) => call()))(made);
    },
  });
  const watched = transactions ? withTransactions(connection) : connection;
  const background = backgroundTasks({ ...others, engine: watched, logger: log.logger });
  atEnd(() => background.close({ timeout: 0 }));
  const port = await serve(framework.listener([background], handler));
  const observer = engine.connect();
  await observer.start({ warn() {}, error() {} });
  return {
    background,
    engine,
    log,
    calls: (method) =>
      calls.filter(([name]) => name === method).map(([, argument]) => (argument as unknown[]).map(idOf)),
    request: (path = '/') => request(port, { path }),
    find: (id) => observer.find(id),
    until: (id, state) =>
      until(
        () => observer.find(id),
        (task) => task?.state === state,
      ) as Promise<DurableTask>,
  };
}

function withTransactions(engine: TaskEngine): TaskEngine {
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'features') return { transactions: true };
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function idOf(one: unknown): string {
  return typeof one === 'string' ? one : (one as { envelope: { id: string } }).envelope.id;
}

/** Waiting in vain must not keep jest alive. */
const PATIENCE = 60_000;

/** Polls until the answer is right. */
export async function until<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
  const deadline = performance.now() + PATIENCE;
  let answer!: T;
  await untilHolds(async () => {
    answer = await ask();
    if (isRight(answer)) return true;
    if (performance.now() <= deadline) return false;
    throw new Error(`Expected another answer within ${PATIENCE} ms than ${JSON.stringify(answer)}.`);
  });
  return answer;
}
