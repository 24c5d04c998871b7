/** The log lines about blocks: a line a minute for the same source, and a summary at the end. */
import type { Log } from '../log.ts';
import type { BlockCause, BlockedEvent } from './block.ts';
import { BlockSources } from './block-sources.ts';
import type { BlockStats, BlockTally } from './block-stats.ts';
import { tallyInWords, whereOf, whoOf, wordingOf } from './wording.ts';

/** How many tasks the summary names. */
const WORST_TASKS = 5;

export class BlockLog {
  readonly #log: Log;
  readonly #sources = new BlockSources();

  constructor(log: Log) {
    this.#log = log;
  }

  write(event: BlockedEvent): void {
    const { cause, blockedMs, stack, call } = event;
    const who = whoOf(event);
    const where = whereOf({ frames: stack, call });
    const unlogged = this.#sources.add(cause === 'other' ? `${who}${where}` : who, blockedMs, where);
    if (unlogged !== undefined) this.#writeLine(event, unlogged);
  }

  writeUnavailable(reason: string): void {
    this.#log.write('info', `The watchdog continues without stacks: ${reason}`, { reason });
  }

  writeSummary(stats: BlockStats): void {
    const worst = Object.entries(stats.byTask)
      .sort(([, one], [, other]) => other.totalMs - one.totalMs)
      .slice(0, WORST_TASKS)
      .map(([name, tally]) => `task ${name} ${tallyInWords(tally)}${this.#sources.worstPlaceOf(`Task ${name}`)}`);
    const named = worst.length === 0 ? '' : `: ${worst.join('; ')}`;
    const message = `The event loop was blocked ${tallyInWords(stats.all)}${named}`;
    this.#log.write('info', message, { blocked: rounded(stats) });
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
}

/** Whether there is a piece of code to move or to change. */
function canBeFixed(cause: BlockCause): boolean {
  return cause !== 'garbage-collection' && cause !== 'load';
}

/** All numbers without their fractions. */
function rounded(stats: BlockStats): unknown {
  return JSON.parse(JSON.stringify(stats, (_key, value) => (typeof value === 'number' ? Math.round(value) : value)));
}
