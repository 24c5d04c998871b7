/** What crosses between the main thread and a worker thread, and nothing else. */
import type { MessagePort } from 'node:worker_threads';
import type { EncodedError } from './error-codec.ts';

/** One attempt, on its way into a thread. */
export interface TaskMessage {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly module: string;
  readonly export: string;
  readonly args: readonly unknown[];
  readonly context: unknown;
}

/**
 * What the attempt came to, on its way back. Made of parts that are known to cross: a value that may not is sent over
 * the control port, where the attempt to send it can fail without harm.
 */
export type Answer = DeliveredAnswer | { readonly kind: 'value-on-control-port' };

/** An answer that lacks nothing. */
export type DeliveredAnswer =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'value-lost'; readonly reason: string }
  | { readonly kind: 'error'; readonly error: EncodedError };

/** The first message of a thread: its end of a port beside Piscina's. */
export interface HelloMessage {
  readonly control: MessagePort;
}

export const HELLO = 'express-background-tasks.hello';

/** Over the control port, to the thread. */
export interface CancelMessage {
  readonly cancel: string;
  /** Which attempt: a task that was deaf to this must not hear it in its next one. */
  readonly attempt: number;
  readonly reason: EncodedError;
}

/** An error that no running task is to blame for: a task that was over had left it behind. */
export interface StrayMessage {
  readonly kind: 'stray';
  readonly task: { readonly id: string; readonly name: string } | undefined;
  readonly error: EncodedError;
}

/** Over the control port, from the thread. */
export type ThreadMessage = StrayMessage | { readonly kind: 'value'; readonly value: unknown };

/** To a child process. */
export type ProcessOrder = TaskMessage | CancelMessage;

/** From a child process: what its one task came to, or something beside. */
export type ProcessMessage = DeliveredAnswer | StrayMessage | { readonly kind: 'ready' };
