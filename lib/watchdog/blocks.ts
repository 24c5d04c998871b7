/** The blocks of one instance: told in its log now and then, counted always. */
import type { Events } from '../events.ts';
import type { Log } from '../log.ts';
import type { BlockCause, BlockedEvent } from './block.ts';
import { whereOf, wordingOf } from './wording.ts';

/** How often something has blocked the event loop, and for how long. */
export interface BlockTally {
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

/** The same is told at most so often, in milliseconds. */
const TOLD_EVERY = 60_000;
/** So many are named at the end. */
const WORST = 5;
/** Names come from the application, and may be many. */
const MOST_NAMES = 1_000;

interface Line {
  toldAt: number;
  /** What has happened since and was not told. */
  untold: BlockTally;
  /** Where the longest was. */
  where: string;
  longestMs: number;
}

const NONE: BlockTally = Object.freeze({ times: 0, totalMs: 0, longestMs: 0 });

function add({ times, totalMs, longestMs }: BlockTally, ms: number): BlockTally {
  return Object.freeze({ times: times + 1, totalMs: totalMs + ms, longestMs: Math.max(longestMs, ms) });
}

export class Blocks {
  readonly #log: Log;
  readonly #events: Events;
  #all = NONE;
  readonly #byCause = new Map<BlockCause, BlockTally>();
  readonly #byTask = new Map<string, BlockTally>();
  readonly #lines = new Map<string, Line>();

  constructor(log: Log, events: Events) {
    this.#log = log;
    this.#events = events;
  }

  get stats(): BlockStats {
    return {
      all: this.#all,
      byCause: Object.fromEntries(this.#byCause),
      byTask: Object.fromEntries(this.#byTask),
    };
  }

  record(event: BlockedEvent): void {
    const { cause, task, blockedMs } = event;
    this.#all = add(this.#all, blockedMs);
    count(this.#byCause, cause, blockedMs);
    if (task !== undefined) count(this.#byTask, task.name, blockedMs);
    this.#tell(event);
    this.#events.emit('blocked', event, (same) => same);
  }

  stacksUnavailable(reason: string): void {
    this.#log.write('info', `The watchdog goes on without stacks: ${reason}`, { reason });
  }

  /** The worst of the instance's life. */
  summarize(): void {
    if (this.#all.times === 0) return;
    const worst = [...this.#byTask].sort(([, one], [, other]) => other.totalMs - one.totalMs).slice(0, WORST);
    const named = worst.map(([name, tally]) => {
      const where = this.#lines.get(`Task ${name}`)?.where ?? '';
      return `task ${name} ${inWords(tally)}${where}`;
    });
    const { all, byCause, byTask } = this.stats;
    const message = `The event loop was blocked ${inWords(all)}${named.length === 0 ? '' : `: ${named.join('; ')}`}`;
    this.#log.write('info', message, { blocked: rounded({ all, byCause, byTask }) });
  }

  #tell(event: BlockedEvent): void {
    const { cause, task, request, blockedMs, waitingRequests, stack, call } = event;
    const who = whoOf(event);
    const where = { frames: stack, call };
    const now = performance.now();
    const line = this.#lineOf(cause === 'other' ? `${who}${whereOf(where)}` : who);
    if (blockedMs > line.longestMs) Object.assign(line, { longestMs: blockedMs, where: whereOf(where) });
    if (now - line.toldAt < TOLD_EVERY) {
      line.untold = add(line.untold, blockedMs);
      return;
    }
    const message = wordingOf({ who, ms: blockedMs, isOver: true, stack: where, isTask: cause === 'task' });
    const since = line.untold.times === 0 ? '' : ` (and ${inWords(line.untold)} since it was last told)`;
    this.#log.write(isWorthALine(cause) ? 'warn' : 'debug', `${message}${since}`, {
      cause,
      ...(task === undefined ? {} : { task: task.name, id: task.id }),
      ...(request === undefined ? {} : { request }),
      blockedMs: Math.round(blockedMs),
      waitingRequests,
      stack,
      ...(call === undefined ? {} : { call }),
    });
    line.toldAt = now;
    line.untold = NONE;
  }

  #lineOf(who: string): Line {
    let line = this.#lines.get(who);
    if (line === undefined) {
      line = { toldAt: Number.NEGATIVE_INFINITY, untold: NONE, where: '', longestMs: 0 };
      if (this.#lines.size < MOST_NAMES) this.#lines.set(who, line);
    }
    return line;
  }
}

/** For people: a line of the log needs no fractions of microseconds. */
function rounded(stats: BlockStats): unknown {
  return JSON.parse(JSON.stringify(stats, (_key, value) => (typeof value === 'number' ? Math.round(value) : value)));
}

function count<Key>(tallies: Map<Key, BlockTally>, key: Key, ms: number): void {
  if (tallies.has(key) || tallies.size < MOST_NAMES) tallies.set(key, add(tallies.get(key) ?? NONE, ms));
}

/** Nobody can do anything about the others there and then. */
function isWorthALine(cause: BlockCause): boolean {
  return cause !== 'garbage-collection' && cause !== 'load';
}

function whoOf(event: BlockedEvent): string {
  const { cause, task, request } = event;
  switch (cause) {
    case 'task':
      return `Task ${task?.name}`;
    case 'request':
      return `The handler of ${request?.method} ${request?.route}`;
    case 'garbage-collection':
      return 'The garbage collection';
    case 'load':
      return 'Much work at once, none of it long,';
    default:
      return event.stack.length === 0 ? 'Something' : 'Code outside of tasks';
  }
}

function inWords({ times, totalMs, longestMs }: BlockTally): string {
  const often = times === 1 ? 'once' : `${times} times`;
  return `${often} for ${Math.round(totalMs)} ms${times === 1 ? '' : ` in all, ${Math.round(longestMs)} ms at most`}`;
}
