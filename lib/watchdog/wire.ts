/** What crosses between the watched thread and the watchdog's. */
import type { StackSample } from './stack-sample.ts';

/** What the watchdog's thread is started with. */
export interface WatchData extends Setting {
  readonly memory: { readonly heartbeat: SharedArrayBuffer; readonly gate: SharedArrayBuffer };
  /** In milliseconds. */
  readonly threshold: number;
  readonly tickMs: number;
  readonly stacks: boolean;
  /** Where the system counts how long the watched thread ran and waited. */
  readonly schedulingFile: string | undefined;
}

/** The loop turns again. */
export interface OverMessage {
  readonly kind: 'over';
  /** Which beat was the last before it stood still, and when that was. */
  readonly beats: number;
  readonly beatAt: number;
}

/** What changes while it watches. */
export interface Setting {
  /** Of the inspector; `0` while it is not open. */
  readonly debuggerPort: number;
  /** Whether a block that goes on is told of on stderr: nobody else can. */
  readonly isTelling: boolean;
}

export interface SettingMessage extends Setting {
  readonly kind: 'setting';
}

/** To the watchdog's thread. */
export type WatchOrder = OverMessage | SettingMessage;

export interface VerdictMessage {
  readonly kind: 'verdict';
  readonly beats: number;
  /** For how long the machine kept the watched thread from running in the meantime, in milliseconds. */
  readonly descheduledMs: number;
  /** For how long sampling has held it up. */
  readonly overheadMs: number;
  readonly sample: StackSample | undefined;
}

/** No stacks from here on. */
export interface AsideMessage {
  readonly kind: 'aside';
  readonly reason: string;
}

/** From the watchdog's thread. */
export type WatchReply = VerdictMessage | AsideMessage;
