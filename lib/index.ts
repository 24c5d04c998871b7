/** The public names, and nothing else. */
export { addBackgroundTask } from './ambient.ts';
export { type BlockingModule, blocking } from './blocking.ts';
export type { AbandonedOutcome, CloseOptions, CloseReport } from './close.ts';
export { type CurrentTask, currentTask } from './current-task.ts';
export { BackgroundTaskError, type BackgroundTaskErrorCode } from './errors.ts';
export type { AddedEvent, BackgroundTaskEvents, RetryingEvent, StartedEvent } from './events.ts';
export type { TaskHandle } from './handle.ts';
export type { Logger } from './log.ts';
export { type BackgroundTasks, backgroundTasks } from './middleware.ts';
export { move } from './move.ts';
export type {
  BackgroundTasksOptions,
  BlockingTaskOptions,
  Mode,
  Order,
  PoolOptions,
  ProcessOptions,
  ResourceLimits,
  RetryOptions,
  TaskOptions,
  WatchdogOptions,
  When,
} from './options.ts';
export type {
  CompletedOutcome,
  ExecutorName,
  Outcome,
  OutcomeState,
  ResponseEnd,
  SkippedOutcome,
  UnsuccessfulOutcome,
} from './outcome.ts';
export type { Percentiles } from './statistics.ts';
export type { BackgroundTasksStats, ExecutorCounts, ProcessStats, ThreadStats } from './stats.ts';
export { type BlockingTask, defineTask, type Task, type TaskFunction } from './task.ts';
export type { TaskAdder, TaskList } from './task-list.ts';
export type { BlockCause, BlockedEvent, BlockedFrame, BlockedRequest } from './watchdog/block.ts';
export type { BlockStats, BlockTally } from './watchdog/blocks.ts';
