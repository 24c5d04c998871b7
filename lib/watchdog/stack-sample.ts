/** What the watchdog's thread reads of the watched one in the middle of a block. */
import type { NamedTask } from '../task.ts';
import type { BlockedRequest, BlockedStack } from './block.ts';

/** The work that the watched thread is in, as the thread itself says when it is asked. */
export interface CurrentWork {
  /** How many heartbeats the thread has given so far: the same number throughout one block. */
  readonly beats: number;
  /** When this work began, or when the work before it ended. */
  readonly since: number;
  /** Whether this is the work in which the thread was first asked during this block. */
  readonly isFirstSeen: boolean;
  readonly task: NamedTask | undefined;
}

export interface StackSample {
  readonly stack: BlockedStack;
  readonly work: CurrentWork;
  /** The request whose handler was running, as far as the stack shows one. */
  readonly request: BlockedRequest | undefined;
  /** When the thread was asked to pause. */
  readonly askedAt: number;
  /** For how many milliseconds the thread did not respond: all that time it was in one call of native code. */
  readonly unresponsiveMs: number;
  /** Whether a second sample found the same task, or the same work; `undefined` if the block was over before it. */
  readonly isSameLater: boolean | undefined;
}
