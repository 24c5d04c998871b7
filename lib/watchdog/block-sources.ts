/** What has blocked, by its name in the log: when it was written of, what was held back since, and where it was worst. */
import { SECOND } from '../time/timers.ts';
import { type BlockTally, NO_BLOCKS, withBlock } from './block-stats.ts';

/** The shortest time between two lines about the same. */
const LINE_INTERVAL = 60 * SECOND;
/** An application may make ever new names. */
const MOST_SOURCES = 1_000;

interface Source {
  loggedAt: number;
  /** The blocks since then. */
  unlogged: BlockTally;
  longestMs: number;
  /** Where the longest was. */
  where: string;
}

export class BlockSources {
  readonly #sources = new Map<string, Source>();
  /** Of all the names that are too many. */
  readonly #others = newSource();

  /** Returns the blocks that no line was written of, if it is time for one; else this block is one of them. */
  add(name: string, blockedMs: number, where: string): BlockTally | undefined {
    const now = performance.now();
    const source = this.#sourceOf(name);
    if (blockedMs > source.longestMs) Object.assign(source, { longestMs: blockedMs, where });
    const { unlogged } = source;
    if (now - source.loggedAt < LINE_INTERVAL) {
      source.unlogged = withBlock(unlogged, blockedMs);
      return undefined;
    }
    source.loggedAt = now;
    source.unlogged = NO_BLOCKS;
    return unlogged;
  }

  /** In words, to be appended to its name; nothing where it is not known. */
  worstPlaceOf(name: string): string {
    return this.#sources.get(name)?.where ?? '';
  }

  #sourceOf(name: string): Source {
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    if (this.#sources.size >= MOST_SOURCES) return this.#others;
    const source = newSource();
    this.#sources.set(name, source);
    return source;
  }
}

function newSource(): Source {
  return { loggedAt: Number.NEGATIVE_INFINITY, unlogged: NO_BLOCKS, longestMs: 0, where: '' };
}
