/** `stats()`: what an operator wants to know at a glance. */

import type { Backlog } from './backlog.ts';
import type { Percentiles } from './durations.ts';
import { EXECUTOR_NAMES, type ExecutorName } from './executor-names.ts';
import type { Instance } from './instance.ts';
import { OUTCOME_STATES, type OutcomeState } from './outcome.ts';
import type { BlockStats } from './watchdog/block-stats.ts';

/** Where the tasks of one executor are. */
export interface ExecutorCounts {
  /** Until their response ends, behind another task of their list, or for a free thread or process. */
  readonly waiting: number;
  /** In an attempt. */
  readonly running: number;
  /** Between two attempts. */
  readonly retrying: number;
  /** Settled tasks by the state that they settled in. */
  readonly outcomes: Readonly<Record<OutcomeState, number>>;
}

/** The worker threads at this moment. */
export interface ThreadStats {
  /** Threads alive, those that are just starting included. */
  readonly threads: number;
  /** Those of them that wait for a task. */
  readonly idleThreads: number;
  /** The option `pool.maxThreads`, or its default. */
  readonly maxThreads: number;
  /** The part of the threads' life that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** The child processes at this moment. */
export interface ProcessStats {
  /** Processes alive, those that are just starting included. */
  readonly processes: number;
  /** Those of them that wait for a task. */
  readonly idleProcesses: number;
  /** The option `processes.maxProcesses`, or its default. */
  readonly maxProcesses: number;
  /** The part of the processes' life that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** Counts and times since the instance was made. `added = waiting + running + retrying + settled`, always. */
export interface BackgroundTasksStats {
  /** Tasks that were accepted; those that `add` has refused are counted nowhere. */
  readonly added: number;
  /** Until their response ends, behind another task of their list, or for a free thread or process. */
  readonly waiting: number;
  /** In an attempt. */
  readonly running: number;
  /** Between two attempts. */
  readonly retrying: number;
  /** In all of the states below. */
  readonly settled: number;
  /** Settled tasks by the state that they settled in. */
  readonly outcomes: Readonly<Record<OutcomeState, number>>;
  /** The same counts by where the tasks run. */
  readonly executors: {
    readonly 'event-loop': ExecutorCounts;
    readonly thread: ExecutorCounts & ThreadStats;
    readonly process: ExecutorCounts & ProcessStats;
    /** Durable tasks on their way to the engine: `completed` means handed over. */
    readonly engine: ExecutorCounts;
  };
  /** How many tasks have not settled, and how many may not: the option `maxBacklog`. */
  readonly backlog: { readonly size: number; readonly limit: number };
  /** From `add` to the first start, of the tasks that started and have settled. */
  readonly waitedMs: Percentiles;
  /** The time that all attempts of a task took, of the tasks that started and have settled. */
  readonly ranMs: Percentiles;
  /** How often the event loop stood still, and for how long, as far as the watchdog is on. */
  readonly blocked: BlockStats;
}

export function statsOf(instance: Instance): BackgroundTasksStats {
  const { backlog, reporter } = instance.runtime;
  const executors = executorStatsOf(instance);
  const total = (of: (counts: ExecutorCounts) => number): number =>
    EXECUTOR_NAMES.reduce((sum, name) => sum + of(executors[name]), 0);
  const outcomes = Object.fromEntries(
    OUTCOME_STATES.map((state) => [state, total((counts) => counts.outcomes[state])]),
  ) as Record<OutcomeState, number>;
  return {
    added: backlog.added,
    waiting: total((counts) => counts.waiting),
    running: total((counts) => counts.running),
    retrying: total((counts) => counts.retrying),
    settled: Object.values(outcomes).reduce((sum, count) => sum + count, 0),
    outcomes,
    executors,
    backlog: { size: backlog.size, limit: backlog.limit },
    waitedMs: reporter.durations.waitedMs,
    ranMs: reporter.durations.ranMs,
    blocked: reporter.blocks.stats,
  };
}

function executorStatsOf({ runtime, pools, options }: Instance): BackgroundTasksStats['executors'] {
  const { backlog } = runtime;
  const [threads, processes] = [pools.thread.stats(), pools.process.stats()];
  return {
    'event-loop': countsOf('event-loop', backlog),
    thread: {
      ...countsOf('thread', backlog),
      threads: threads.workers,
      idleThreads: threads.idleWorkers,
      maxThreads: options.pool.maxThreads,
      utilization: threads.utilization,
    },
    process: {
      ...countsOf('process', backlog),
      processes: processes.workers,
      idleProcesses: processes.idleWorkers,
      maxProcesses: options.processes.maxProcesses,
      utilization: processes.utilization,
    },
    engine: countsOf('engine', backlog),
  };
}

function countsOf(executor: ExecutorName, backlog: Backlog): ExecutorCounts {
  const { waiting, running, retrying, ...outcomes } = backlog.counts(executor);
  return { waiting, running, retrying, outcomes };
}
