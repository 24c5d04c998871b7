/** How the event loop is watched. */
import type { Filled } from './defaults.ts';
import { aBoolean, milliseconds, type Rules } from './rules.ts';

/** How the event loop is watched. */
export interface WatchdogOptions {
  /**
   * From how long on a block is logged, in milliseconds; at least `20`. The clock starts when the event loop stops
   * turning; time in which the machine kept the server from running does not count.
   *
   * @default 50
   */
  readonly threshold?: number | undefined;
  /**
   * Whether the code that blocks is named, by its function, file and line. For this the server is stopped for a few
   * milliseconds in the middle of a block, by Node's inspector. No port is opened for it.
   *
   * @default true
   */
  readonly stacks?: boolean | undefined;
}

/** On a machine that does other things as well, the event loop is often late by less than that. */
const SHORTEST_THRESHOLD = 20;
const DEFAULT_THRESHOLD = 50;
/** Where `watchdog` is not given. */
const LIGHT_THRESHOLD = 100;
/** Where it is off by default: production, and tests, whose runners compile modules in the middle of everything. */
const UNWATCHED = new Set(['production', 'test']);

export const watchdogRules: Rules<WatchdogOptions> = {
  threshold: milliseconds(SHORTEST_THRESHOLD),
  stacks: aBoolean,
};

/** What the watchdog is set to. */
export type ResolvedWatchdogOptions = Filled<WatchdogOptions>;

export function resolveWatchdog(given: WatchdogOptions | boolean | undefined): ResolvedWatchdogOptions | undefined {
  if (given === false) return undefined;
  if (given === undefined && UNWATCHED.has(process.env['NODE_ENV'] ?? '')) return undefined;
  const { threshold = given === undefined ? LIGHT_THRESHOLD : DEFAULT_THRESHOLD, stacks = true } =
    typeof given === 'object' ? given : {};
  return Object.freeze({ threshold, stacks });
}
