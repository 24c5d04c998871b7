/** The messages between the watched thread and the watchdog's. */
import type { StackSample } from './stack-sample.ts';
import type { SchedulingReading } from './thread/scheduling.ts';

/** What the watchdog's thread is started with. */
export interface ThreadData extends ThreadSettings {
  readonly memory: {
    readonly heartbeat: SharedArrayBuffer;
    readonly gate: SharedArrayBuffer;
    readonly turn: SharedArrayBuffer;
  };
  /** In milliseconds. */
  readonly threshold: number;
  readonly tickMs: number;
  readonly stacks: boolean;
  /** Where the system counts how long the watched thread ran and waited. */
  readonly schedulingFile: string | undefined;
  /** Of that file, from when the watch began: under load, the thread starts much later. */
  readonly firstReading: SchedulingReading;
}

/** What may change while the thread runs. */
export interface ThreadSettings {
  /** The port of the inspector; `0` while it is not open. */
  readonly debuggerPort: number;
  /** Whether a block is logged on stderr while it lasts. */
  readonly logs: boolean;
}

export type MessageToThread =
  | (ThreadSettings & { readonly kind: 'settings' })
  /**
   * The loop turns again, and the watched thread waits for the report: with the number of the last heartbeat before the
   * stall, and its time.
   */
  | { readonly kind: 'stall-ended'; readonly beats: number; readonly beatAt: number };

export interface StallReport {
  readonly kind: 'stall-report';
  readonly beats: number;
  /** For how long the machine kept the watched thread from running, in milliseconds. */
  readonly descheduledMs: number;
  /** For how long sampling held it up. */
  readonly overheadMs: number;
  readonly sample: StackSample | undefined;
}

export type MessageFromThread =
  | StallReport
  /** No stacks can be read from here on. */
  | { readonly kind: 'no-stacks'; readonly reason: string };
