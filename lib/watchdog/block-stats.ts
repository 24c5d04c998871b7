/** How many blocks there were, and how long: for `stats()`. */
import type { BlockCause, BlockedEvent } from './block.ts';

/** How often something has blocked the event loop, and for how long. */
export interface BlockTally {
  /** How often. */
  readonly times: number;
  /** In milliseconds, as the next. */
  readonly totalMs: number;
  readonly longestMs: number;
}

/** What the watchdog has seen since the instance was made. */
export interface BlockStats {
  /** Whatever the cause. */
  readonly all: BlockTally;
  readonly byCause: Readonly<Partial<Record<BlockCause, BlockTally>>>;
  /** By the task's name. */
  readonly byTask: Readonly<Record<string, BlockTally>>;
}

/** An application may make ever new names. */
const MOST_NAMES = 1_000;

export const NO_BLOCKS: BlockTally = Object.freeze({ times: 0, totalMs: 0, longestMs: 0 });

export function withBlock({ times, totalMs, longestMs }: BlockTally, ms: number): BlockTally {
  return Object.freeze({ times: times + 1, totalMs: totalMs + ms, longestMs: Math.max(longestMs, ms) });
}

export class BlockCounter {
  #all = NO_BLOCKS;
  readonly #byCause = new Map<BlockCause, BlockTally>();
  readonly #byTask = new Map<string, BlockTally>();

  get stats(): BlockStats {
    return {
      all: this.#all,
      byCause: Object.fromEntries(this.#byCause),
      byTask: Object.fromEntries(this.#byTask),
    };
  }

  count({ cause, task, blockedMs }: BlockedEvent): void {
    this.#all = withBlock(this.#all, blockedMs);
    countIn(this.#byCause, cause, blockedMs);
    if (task !== undefined) countIn(this.#byTask, task.name, blockedMs);
  }
}

function countIn<Key>(tallies: Map<Key, BlockTally>, key: Key, ms: number): void {
  if (tallies.has(key) || tallies.size < MOST_NAMES) tallies.set(key, withBlock(tallies.get(key) ?? NO_BLOCKS, ms));
}
