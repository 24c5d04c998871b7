/** The public names, and nothing else. */
export { addBackgroundTask } from './ambient.ts';
export type { BackgroundTasks, DurableBackgroundTasks } from './background-tasks.ts';
export { blocking } from './blocking.ts';
export type { CloseOptions } from './close.ts';
export type { AbandonedOutcome, CloseReport } from './close-report.ts';
export { createWorker, type TaskWorker } from './create-worker.ts';
export { type CurrentTask, currentTask } from './current-task.ts';
export type * from './durable/engine.ts';
export { durable } from './durable.ts';
export type { Percentiles } from './durations.ts';
export { BackgroundTaskError, type BackgroundTaskErrorCode } from './errors.ts';
export type {
  AddedEvent,
  BackgroundTaskEvents,
  EventListener,
  EventName,
  RetryingEvent,
  StartedEvent,
} from './events.ts';
export type { ExecutorName } from './executor-names.ts';
export type { FoundTask } from './find.ts';
export type { TaskHandle } from './handle.ts';
export type { Logger } from './log.ts';
export { backgroundTasks } from './middleware.ts';
export type { BlockingModule } from './module-tasks.ts';
export { move } from './move.ts';
export type { WorkerOptions } from './options/create-worker.ts';
export type { DurableOptions, WorkOptions } from './options/durable.ts';
export type { BackgroundTasksOptions, Mode, Order } from './options/middleware.ts';
export type { ProcessOptions } from './options/process-pool.ts';
export type {
  AddOptions,
  ArgumentParsers,
  BlockingTaskOptions,
  DurableTaskOptions,
  RetryOptions,
  TaskOptions,
  When,
} from './options/task.ts';
export type { PoolOptions, ResourceLimits } from './options/thread-pool.ts';
export type { WatchdogOptions } from './options/watchdog.ts';
export type {
  CompletedOutcome,
  Outcome,
  OutcomeState,
  ResponseEnd,
  SkippedOutcome,
  UnsuccessfulOutcome,
} from './outcome.ts';
export type { BackgroundTasksStats, ExecutorCounts, ProcessStats, ThreadStats } from './stats.ts';
export { type BlockingTask, defineTask, type Task, type TaskFunction } from './task.ts';
export type { TaskAdder, TaskList } from './task-list.ts';
export type { TaskState } from './task-state.ts';
export type { BlockCause, BlockedEvent, BlockedFrame, BlockedRequest } from './watchdog/block.ts';
export type { BlockStats, BlockTally } from './watchdog/block-stats.ts';
