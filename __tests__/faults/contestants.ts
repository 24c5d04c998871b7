/** The contestants: the package's executors, and bare pools of other libraries, behind one interface. */
import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import {
  type BackgroundTasks,
  backgroundTasks,
  blocking,
  type Task,
  type TaskHandle,
  type TaskList,
} from 'express-background-tasks';
import { describeThrown, describeValue } from './settlement.ts';
import type { ExecutorName } from './table.ts';

/** One task, for whoever runs it. */
export interface TaskOrder {
  /** A file in modules/. */
  readonly module: string;
  readonly task: string;
  readonly argument: unknown;
  readonly timeout: number | undefined;
}

export interface Running {
  /** How it ended; never rejects. */
  readonly settled: Promise<string>;
  cancel(): void;
}

export interface Contestant {
  /** Mounted in the server's application, where there is one. */
  readonly middleware?: BackgroundTasks;
  /** Takes a task; for a response, if one is given. */
  run(order: TaskOrder, res?: ServerResponse): Running;
  close(): Promise<unknown>;
}

export interface ContestantOptions {
  readonly workers: number;
  /** The module that a library wants to be told when its pool is made. */
  readonly module: string;
}

export const CONTESTANTS = {
  'event-loop': (options: ContestantOptions) => openOurs('event-loop', options),
  thread: (options: ContestantOptions) => openOurs('thread', options),
  process: (options: ContestantOptions) => openOurs('process', options),
  piscina: openPiscina,
  tinypool: openTinypool,
  workerpool: openWorkerpool,
} satisfies Record<string, (options: ContestantOptions) => Contestant | Promise<Contestant>>;
export type ContestantName = keyof typeof CONTESTANTS;

/** Megabytes of old space, for each in its own way: with the machine's own limit a heap takes long to fill. */
const HEAP = 32;
const heapFlag = `--max-old-space-size=${HEAP}`;
/** Node's options of a server, where it is the server that runs the tasks. */
export const SERVER_FLAGS: { readonly [Name in ContestantName]?: readonly string[] } = { 'event-loop': [heapFlag] };
const CLOSE_TIMEOUT = 500;

const requireHere = createRequire(import.meta.url);

export function urlOf(module: string): URL {
  return new URL(`./modules/${module}`, import.meta.url);
}

const pathOf = (module: string): string => fileURLToPath(urlOf(module));

function openOurs(executor: ExecutorName, { workers }: ContestantOptions): Contestant {
  const tasksOf = taskSource(executor);
  const resourceLimits = { maxOldGenerationSizeMb: HEAP };
  const background = backgroundTasks({
    logger: false,
    order: 'parallel',
    timeout: Number.POSITIVE_INFINITY,
    // Of equal priority, as the workers of the others are: on a busy machine a lower priority would decide the time limits.
    pool: { maxThreads: workers, resourceLimits, niceIncrement: 0 },
    processes: { maxProcesses: workers, resourceLimits, niceIncrement: 0 },
  });
  return {
    middleware: background,
    run({ module, task, argument, timeout }, res) {
      const adder = (res as { locals?: { backgroundTasks: TaskList } })?.locals?.backgroundTasks ?? background;
      let handle: TaskHandle;
      try {
        handle = adder.with({ timeout }).add(tasksOf(module)[task] as Task<[unknown]>, argument);
      } catch (thrown) {
        return { settled: Promise.resolve(`refused by add: ${describeThrown(thrown)}`), cancel: () => {} };
      }
      return { settled: handle.settled.then(describeOutcome), cancel: () => void handle.cancel() };
    },
    close: () => background.close({ timeout: CLOSE_TIMEOUT }),
  };
}

type TasksOf = (module: string) => Record<string, Task<[unknown]>>;

function taskSource(executor: ExecutorName): TasksOf {
  if (executor === 'event-loop') {
    return (module) => (isLoadedWithServer(module) ? requireHere(pathOf(module)) : importing(module));
  }
  // The duration of a task is remembered for its reference.
  const known = new Map<string, Record<string, Task<[unknown]>>>();
  return (module) => {
    const tasks = known.get(module) ?? blocking<Record<string, Task<[unknown]>>>(urlOf(module), { executor });
    known.set(module, tasks);
    return tasks;
  };
}

/** The other modules commit their fault while they are loaded: on the event loop it is a task's fault only if the task imports them. */
const isLoadedWithServer = (module: string): boolean => module.endsWith('.cjs');

function importing(module: string): Record<string, Task<[unknown]>> {
  return { anything: async (argument) => (await import(urlOf(module).href)).anything(argument) };
}

function describeOutcome({ state, value, error }: Awaited<TaskHandle['settled']>): string {
  if (state === 'completed') return `completed: ${describeValue(value)}`;
  return `${state}: ${describeThrown(error)}`;
}

/** How a promise settles. */
function settlementOf(promise: PromiseLike<unknown>): Promise<string> {
  return Promise.resolve(promise).then(
    (value) => `resolves: ${describeValue(value)}`,
    (thrown: unknown) => `rejects: ${describeThrown(thrown)}`,
  );
}

interface SignalledPool {
  run(argument: unknown, options: Record<string, unknown>): Promise<unknown>;
  destroy(): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
}

function withSignals(pool: SignalledPool): Contestant {
  // As their documents advise: without it, a worker that fails while it has no task ends the server.
  pool.on('error', () => {});
  return {
    run({ module, task, argument, timeout }) {
      const controller = new AbortController();
      if (timeout !== undefined) setTimeout(() => controller.abort(), timeout);
      const { signal } = controller;
      return {
        settled: settlementOf(pool.run(argument, { name: task, filename: urlOf(module).href, signal })),
        cancel: () => controller.abort(),
      };
    },
    close: () => pool.destroy(),
  };
}

async function openPiscina({ workers, module }: ContestantOptions): Promise<Contestant> {
  const { Piscina } = requireHere('piscina') as { Piscina: new (options: object) => SignalledPool };
  const resourceLimits = { maxOldGenerationSizeMb: HEAP };
  return withSignals(
    new Piscina({ filename: urlOf(module).href, minThreads: workers, maxThreads: workers, resourceLimits }),
  );
}

async function openTinypool({ workers, module }: ContestantOptions): Promise<Contestant> {
  const { Tinypool } = await import('tinypool');
  return withSignals(
    new Tinypool({
      filename: urlOf(module).href,
      runtime: 'child_process',
      minThreads: workers,
      maxThreads: workers,
      execArgv: [heapFlag],
    }) as unknown as SignalledPool,
  );
}

/** Its pool has one module: next to a module that does not load, the other tasks are of that module too. */
async function openWorkerpool({ workers, module }: ContestantOptions): Promise<Contestant> {
  const { default: workerpool } = await import('workerpool');
  const pool = workerpool.pool(pathOf('workerpool.mjs'), {
    workerType: 'process',
    minWorkers: workers,
    maxWorkers: workers,
    forkArgs: [urlOf(module).href],
    forkOpts: { execArgv: [heapFlag] },
  });
  return {
    run({ task, argument, timeout }) {
      const promise = pool.exec(task, [argument]);
      if (timeout !== undefined) promise.timeout(timeout);
      return { settled: settlementOf(promise as PromiseLike<unknown>), cancel: () => void promise.cancel() };
    },
    close: async () => pool.terminate(true),
  };
}
