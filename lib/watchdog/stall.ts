/**
 * What is measured of a stall, a time in which the event loop did not turn. It becomes a block if code or a garbage
 * collection is to blame for it. All times are those of the shared clock.
 */
import type { RunningTask } from '../current-task.ts';
import type { StackSample } from './stack-sample.ts';

/** What a task does at its start before it returns, or awaits something. */
export interface TaskTurn {
  readonly task: RunningTask;
  readonly from: number;
  readonly to: number;
}

/** The work that the watched thread was in when it was first sampled. */
export interface SampledWork {
  readonly beats: number;
  readonly task: RunningTask | undefined;
  readonly sampledAt: number;
  /** When this work began, or when the work before it ended. */
  readonly since: number;
  endedAt: number;
  /** Whether its code has returned; promise callbacks that followed from it may not have. */
  hasReturned: boolean;
}

/** A stall as the watched thread itself has measured it. */
export interface Stall {
  /** How many heartbeats there were before it. */
  readonly beats: number;
  readonly from: number;
  readonly to: number;
  /** For how long the loop was not idle. */
  readonly activeMs: number;
  /** How often known work began or ended. */
  readonly workChanges: number;
  /** The long ones, in their order. */
  readonly taskTurns: readonly TaskTurn[];
  readonly sampledWork: SampledWork | undefined;
}

/** A stall with what the watchdog's thread and the garbage collector add. */
export interface ExplainedStall extends Stall {
  /** For how long code is to blame. */
  readonly blockedMs: number;
  /** For how long the machine kept the thread from running, in milliseconds. */
  readonly descheduledMs: number;
  /** For how long sampling held the thread up. */
  readonly overheadMs: number;
  readonly sample: StackSample | undefined;
  /** For how long garbage was collected in a part of the stall. */
  readonly collectedMs: (from: number, to: number) => number;
}
