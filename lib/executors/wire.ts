/** What crosses between the main thread and a worker, be it a thread or a process; and nothing else. */
import type { MessagePort } from 'node:worker_threads';
import type { NamedTask } from '../task.ts';
import type { EncodedError } from './error-codec.ts';

/** One attempt, on its way in. */
export interface TaskMessage {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly module: string;
  readonly export: string;
  readonly args: readonly unknown[];
  readonly context: unknown;
}

/** The running task is to stop. */
export interface CancelMessage {
  readonly cancel: string;
  /** Which attempt: a task that was deaf to this must not hear it in its next one. */
  readonly attempt: number;
  readonly reason: EncodedError;
}

/** To a worker. */
export type Order =
  | TaskMessage
  | CancelMessage
  /** What holds for all of its tasks, before the first of them. In bytes. */
  | { readonly maxResultSize: number };

/** Several attempts at once, for a thread. What becomes of them stands in the ledger. */
export interface BatchMessage {
  /** Name, module and export of each kind of task. */
  readonly targets: readonly string[];
  /** Of each task: id, attempt, where its kind begins among the targets, arguments, context. */
  readonly tasks: readonly unknown[];
}

/** To a thread. */
export type ThreadOrder =
  | Order
  | BatchMessage
  /** The memory of the ledger, before the first batch. */
  | { readonly ledger: SharedArrayBuffer };

/** What an attempt came to. */
export type Result =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'value-lost'; readonly reason: string }
  | { readonly kind: 'error'; readonly error: EncodedError };

/** What an attempt came to, and how long it ran, in milliseconds; unknown where its module had to be loaded first. */
type Answer = Result & { readonly ranMs: number | undefined };

/** An error that no running task is to blame for: a task that was over had left it behind. */
export interface StrayMessage {
  readonly kind: 'stray';
  readonly task: NamedTask | undefined;
  readonly error: EncodedError;
}

/** From a worker. */
export type Reply = Answer | StrayMessage;

/** What one of a batch came to, where the ledger cannot hold it. */
export interface ToldMessage {
  readonly kind: 'told';
  readonly place: number;
  readonly result: Result;
}

/** There is news in the ledger. `isOver`: the thread is done with the batch. */
export interface ProgressMessage {
  readonly kind: 'progress';
  readonly isOver: boolean;
}

/** From a thread. */
export type ThreadReply =
  | Reply
  | ToldMessage
  | ProgressMessage
  /** What it was given cannot be read there: its stack is too small for how deep it is. */
  | { readonly kind: 'unreadable'; readonly reason: string };

/** The first message of a thread: its end of the port that orders and replies go over, and the memory of its receipt. */
export interface HelloMessage {
  readonly port: MessagePort;
  readonly receipt: SharedArrayBuffer;
}

export const HELLO = 'express-background-tasks.hello';

/** A message of the package from a process, as opposed to one that a task module has written to the channel. */
export interface ProcessMessage {
  readonly [REPLY]: ProcessReply;
}

export const REPLY = 'express-background-tasks.reply';

/** From a process. */
export type ProcessReply =
  | Reply
  | WrittenReply
  /** The first message. */
  | { readonly kind: 'ready' }
  /** The last message of a process that exits by itself, with how many tasks have reached it. */
  | { readonly kind: 'leaving'; readonly received: number };

/** A reply that is sent as bytes: if Node itself fails to read a message, it throws where nobody can catch it. */
export interface WrittenReply {
  readonly kind: 'written';
  readonly bytes: Uint8Array;
}
