/** What can be said of threads and of processes alike. */
import { availableParallelism } from 'node:os';
import { SECOND } from '../time/timers.ts';
import type { Complete } from './defaults.ts';
import { anArrayOf, anInteger, aRecordOf, either, forever, milliseconds, type Rule, type Rules } from './rules.ts';

/** What each kind of worker documents in its own words. */
interface SharedOptions {
  readonly idleTimeout?: number | undefined;
  readonly maxResultSize?: number | undefined;
  readonly niceIncrement?: number | undefined;
  readonly execArgv?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly argv?: readonly string[] | undefined;
}

const NICEST = 19;
const DEFAULT_IDLE_TIMEOUT = 30 * SECOND;
const DEFAULT_MAX_RESULT_SIZE = 64 * 2 ** 20;
const DEFAULT_NICE_INCREMENT = 10;

export const megabytes: Rule = {
  expected: 'a positive, finite number of megabytes',
  accepts: (value) => Number.isFinite(value) && (value as number) > 0,
};

export const atLeastNone: Rule = anInteger({ from: 0 });
export const atLeastOne: Rule = anInteger({ from: 1 });

export const sharedRules: Rules<SharedOptions> = {
  idleTimeout: either(milliseconds(0), forever),
  maxResultSize: either(atLeastOne, forever),
  niceIncrement: anInteger({ from: 0, to: NICEST }),
  execArgv: anArrayOf('strings', isString),
  env: aRecordOf('strings', (entry) => entry === undefined || isString(entry)),
  argv: anArrayOf('strings', isString),
};

/** The memory limits that Node has for a process as well. */
export const heapRules = { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: megabytes };

function isString(entry: unknown): boolean {
  return typeof entry === 'string';
}

/** How many workers there may be where nobody says: the event loop keeps a core. */
export function defaultMost(least: number): number {
  return Math.max(least, availableParallelism() - 1, 1);
}

/** The rule of the least number of workers, which the option `max` has set a limit to. */
export function upTo(max: string, most: number): Rule {
  return { expected: `an integer up to ${max} (${most})`, accepts: (least) => (least as number) <= most };
}

type ResolvedSharedOptions = Complete<SharedOptions, 'idleTimeout' | 'maxResultSize' | 'niceIncrement'>;

/** With copies of what can be changed: a worker may start at any time, and is given what stood there when it was checked. */
export function resolveShared(given: SharedOptions): ResolvedSharedOptions {
  const { idleTimeout = DEFAULT_IDLE_TIMEOUT, maxResultSize = DEFAULT_MAX_RESULT_SIZE } = given;
  const { niceIncrement = DEFAULT_NICE_INCREMENT, execArgv, env, argv } = given;
  return {
    idleTimeout,
    maxResultSize,
    niceIncrement,
    execArgv: execArgv && [...execArgv],
    env: env && { ...env },
    argv: argv && [...argv],
  };
}
