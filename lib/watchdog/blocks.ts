/** The blocks of one instance: counted, emitted as events, and logged: one line a minute for the same source, and a summary at the end. */
import type { Events } from '../events.ts';
import type { Log } from '../log.ts';
import type { BlockCause, BlockedEvent } from './block.ts';
import { BlockCounter, type BlockStats, type BlockTally, NO_BLOCKS, withBlock } from './block-stats.ts';
import { tallyInWords, whereOf, whoOf, wordingOf } from './wording.ts';

/** The shortest time between two lines about the same, in milliseconds. */
const LINE_INTERVAL = 60_000;
/** How many tasks the summary names. */
const WORST_TASKS = 5;
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

export class Blocks {
  readonly #log: Log;
  readonly #events: Events;
  readonly #counter = new BlockCounter();
  readonly #sources = new Map<string, Source>();
  /** Of all the names that are too many. */
  readonly #otherSources = newSource();

  constructor(log: Log, events: Events) {
    this.#log = log;
    this.#events = events;
  }

  get stats(): BlockStats {
    return this.#counter.stats;
  }

  record(event: BlockedEvent): void {
    this.#counter.count(event);
    this.#write(event);
    this.#events.emit('blocked', event, (same) => same);
  }

  stacksUnavailable(reason: string): void {
    this.#log.write('info', `The watchdog continues without stacks: ${reason}`, { reason });
  }

  summarize(): void {
    const { stats } = this;
    if (stats.all.times === 0) return;
    const worst = Object.entries(stats.byTask)
      .sort(([, one], [, other]) => other.totalMs - one.totalMs)
      .slice(0, WORST_TASKS)
      .map(([name, tally]) => {
        const where = this.#sources.get(`Task ${name}`)?.where ?? '';
        return `task ${name} ${tallyInWords(tally)}${where}`;
      });
    const named = worst.length === 0 ? '' : `: ${worst.join('; ')}`;
    const message = `The event loop was blocked ${tallyInWords(stats.all)}${named}`;
    this.#log.write('info', message, { blocked: rounded(stats) });
  }

  #write(event: BlockedEvent): void {
    const { cause, blockedMs, stack, call } = event;
    const who = whoOf(event);
    const where = whereOf({ frames: stack, call });
    const now = performance.now();
    const source = this.#sourceOf(cause === 'other' ? `${who}${where}` : who);
    if (blockedMs > source.longestMs) Object.assign(source, { longestMs: blockedMs, where });
    if (now - source.loggedAt < LINE_INTERVAL) {
      source.unlogged = withBlock(source.unlogged, blockedMs);
      return;
    }
    this.#writeLine(event, source.unlogged);
    source.loggedAt = now;
    source.unlogged = NO_BLOCKS;
  }

  #writeLine(event: BlockedEvent, unlogged: BlockTally): void {
    const { cause, task, request, blockedMs, waitingRequests, stack, call } = event;
    const message = wordingOf({
      who: whoOf(event),
      ms: blockedMs,
      isOver: true,
      stack: { frames: stack, call },
      isTask: cause === 'task',
    });
    const since = unlogged.times === 0 ? '' : ` (and ${tallyInWords(unlogged)} since the last line)`;
    this.#log.write(canBeFixed(cause) ? 'warn' : 'debug', `${message}${since}`, {
      cause,
      ...(task === undefined ? {} : { task: task.name, id: task.id }),
      ...(request === undefined ? {} : { request }),
      blockedMs: Math.round(blockedMs),
      waitingRequests,
      stack,
      ...(call === undefined ? {} : { call }),
    });
  }

  #sourceOf(who: string): Source {
    const known = this.#sources.get(who);
    if (known !== undefined) return known;
    if (this.#sources.size >= MOST_SOURCES) return this.#otherSources;
    const source = newSource();
    this.#sources.set(who, source);
    return source;
  }
}

function newSource(): Source {
  return { loggedAt: Number.NEGATIVE_INFINITY, unlogged: NO_BLOCKS, longestMs: 0, where: '' };
}

/** Whether there is a piece of code to move or to change. */
function canBeFixed(cause: BlockCause): boolean {
  return cause !== 'garbage-collection' && cause !== 'load';
}

/** All numbers without their fractions. */
function rounded(stats: BlockStats): unknown {
  return JSON.parse(JSON.stringify(stats, (_key, value) => (typeof value === 'number' ? Math.round(value) : value)));
}
