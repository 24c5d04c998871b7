/** Threads and processes, side by side, for tests of what both have in common. */
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  type BlockingModule,
  blocking,
  type ExecutorCounts,
  type ProcessOptions,
} from 'express-background-tasks';
import { makeBackground } from './cleanup.ts';
import { fixture } from './fixtures.ts';
import { isAlive } from './process-ids.ts';
import { work } from './time.ts';

type BlockingTasks = typeof import('../fixtures/blocking-tasks.mjs');
type AwareTasks = typeof import('../fixtures/aware-tasks.mjs');

/** The options that the pools of both have under the same names, and `min` for how many there are at least. */
export interface WorkerOptions extends Omit<ProcessOptions, 'minProcesses' | 'maxProcesses'> {
  readonly min?: number;
}

export interface WorkerCounts extends ExecutorCounts {
  readonly workers: number;
  readonly idle: number;
  readonly max: number;
}

export interface WorkerKind {
  readonly executor: 'thread' | 'process';
  readonly plural: 'threads' | 'processes';
  /** The option of `backgroundTasks` that describes the pool. */
  readonly option: 'pool' | 'processes';
  readonly sharesMemory: boolean;
  /** The codes of its errors. */
  readonly exited: string;
  readonly cannotStart: string;
  /** What is true of the place where its tasks run. */
  readonly place: Readonly<Record<string, unknown>>;
  /** Whether the process that a task had to itself is gone. A thread has no process of its own. */
  readonly isGone: (pid: number) => boolean;
  readonly tasks: BlockingModule<BlockingTasks>;
  /** Tasks that need the package, which takes a worker as long to load as to start. */
  readonly aware: BlockingModule<AwareTasks>;
  /** References to the exports of another fixture. */
  refer<Module extends object>(file: string): BlockingModule<Module>;
  /** Options of `backgroundTasks` for at most this many workers, at the priority of the tests, which wait for them. */
  options(max: number, others?: WorkerOptions): BackgroundTasksOptions;
  /** An instance with such options, and others, that ends with the test. */
  open(max: number, workers?: WorkerOptions, others?: BackgroundTasksOptions): BackgroundTasks;
  counts(background: BackgroundTasks): WorkerCounts;
  /** Which thread or process runs the next task: two places that are equal are the same. */
  placeOf(background: BackgroundTasks): Promise<unknown>;
  /** Runs tasks that take some time until there are this many threads or processes. */
  untilWorkers(background: BackgroundTasks, count: number): Promise<void>;
}

type Names = Pick<
  WorkerKind,
  'executor' | 'plural' | 'option' | 'sharesMemory' | 'exited' | 'cannotStart' | 'place' | 'isGone'
>;

function describeKind(names: Names): WorkerKind {
  const { executor, plural, option } = names;
  const suffix = plural === 'threads' ? 'Threads' : 'Processes';

  function refer<Module extends object>(file: string): BlockingModule<Module> {
    return blocking<Module>(fixture(file), { executor });
  }

  function options(max: number, { min, ...others }: WorkerOptions = {}): BackgroundTasksOptions {
    return { [option]: { [`min${suffix}`]: min, [`max${suffix}`]: max, niceIncrement: 0, ...others } };
  }

  function counts(background: BackgroundTasks): WorkerCounts {
    const all: ExecutorCounts = background.stats().executors[executor];
    const of = (name: string): number => (all as unknown as Record<string, number>)[name] as number;
    return { ...all, workers: of(plural), idle: of(`idle${suffix}`), max: of(`max${suffix}`) };
  }

  const tasks = refer<BlockingTasks>('blocking-tasks.mjs');
  return {
    ...names,
    tasks,
    aware: refer<AwareTasks>('aware-tasks.mjs'),
    refer,
    options,
    open: (max, workers, others) => makeBackground({ ...others, ...options(max, workers) }),
    counts,
    placeOf: async (background) => (await background.add(tasks.whereAmI).settled).value,
    async untilWorkers(background, count) {
      while (counts(background).workers !== count) await background.add(work, 5).settled;
    },
  };
}

export const workerKinds: readonly WorkerKind[] = [
  describeKind({
    executor: 'thread',
    plural: 'threads',
    option: 'pool',
    sharesMemory: true,
    exited: 'ERR_BACKGROUND_THREAD_EXITED',
    cannotStart: 'ERR_BACKGROUND_THREAD_START',
    place: { isMainThread: false, pid: process.pid },
    isGone: () => true,
  }),
  describeKind({
    executor: 'process',
    plural: 'processes',
    option: 'processes',
    sharesMemory: false,
    exited: 'ERR_BACKGROUND_PROCESS_EXITED',
    cannotStart: 'ERR_BACKGROUND_PROCESS_START',
    place: { isMainThread: true, ppid: process.pid },
    isGone: (pid) => !isAlive(pid),
  }),
];

export const [threads, processes] = workerKinds as readonly [WorkerKind, WorkerKind];
