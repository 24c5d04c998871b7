/** What an instance of the package that has its watchdog on wants to know, and how it is told. */
import type { BlockPart } from './cause.ts';

export interface Block extends BlockPart {
  readonly waitingRequests: number;
}

export interface Watched {
  /** In milliseconds. */
  readonly threshold: number;
  readonly stacks: boolean;
  /** Whether it has a logger. */
  readonly logs: boolean;
  blocked(block: Block): void;
  /** There will be no stacks from here on. */
  stacksUnavailable(reason: string): void;
}
