/** What is reported of a block: a time in which the event loop stood still. */

/** One line of user code, as a person finds it: the file and line that were written, not those that were generated. */
export interface BlockedFrame {
  /** The function's name; `anonymous` without one. */
  readonly function: string;
  /** The path of the file, relative to the working directory where it lies below it. */
  readonly file: string;
  /** From `1`, as the next. */
  readonly line: number;
  readonly column: number;
}

/** Where the code was while the event loop stood still. */
export interface BlockedStack {
  /** The frames of user code, the innermost first: none of Node's, of `node_modules`, or of this package. */
  readonly frames: readonly BlockedFrame[];
  /** The call that blocked, where it is a known one: `pbkdf2Sync of node:crypto`, `JSON.parse`, `a regular expression`. */
  readonly call: string | undefined;
}

/** Which request was being answered. */
export interface BlockedRequest {
  readonly method: string;
  /** The route's pattern, as `/users/:id`; the path where there is none. */
  readonly route: string;
}

/** Why the event loop stood still. */
export type BlockCause =
  /** A task did not let go of it. */
  | 'task'
  /** The handler of a request did not. */
  | 'request'
  /** Other code did not: a timer, a listener, or a handler after an `await`. */
  | 'other'
  /** Node collected garbage. */
  | 'garbage-collection'
  /** Many short pieces of work came at once, none of them long. */
  | 'load';

/** The event loop stood still for longer than the watchdog's threshold. */
export interface BlockedEvent {
  readonly cause: BlockCause;
  /** The task that blocked it. */
  readonly task: { readonly id: string; readonly name: string } | undefined;
  /** The request whose handler blocked it, or that the task was added for. */
  readonly request: BlockedRequest | undefined;
  /** For how long, in milliseconds, without the time in which the machine gave the thread no core. */
  readonly blockedMs: number;
  /** How many requests came in the meantime and had to wait. */
  readonly waitingRequests: number;
  /** Where the code stood, the innermost first: user code only, in the lines that were written. Empty where it was not seen. */
  readonly stack: readonly BlockedFrame[];
  /** The call that blocked, where it is a known one: `pbkdf2Sync of node:crypto`, `JSON.parse`, `a regular expression`. */
  readonly call: string | undefined;
}
