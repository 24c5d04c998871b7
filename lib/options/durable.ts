/** How durable tasks are handed to an engine, and how this process runs them. */
import { optionError } from '../errors.ts';
import { SECOND } from '../time/timers.ts';
import { check } from './check.ts';
import type { Filled } from './defaults.ts';
import { DEFAULT_POLICY, mergePolicy, type Policy } from './policy.ts';
import { anInteger, milliseconds, type Rule, type Rules } from './rules.ts';
import type { TaskOptions } from './task.ts';

/** How durable tasks are handed to the engine. */
export interface DurableOptions {
  /**
   * How long the engine holds a task that is neither released nor discarded, in milliseconds. The clock starts when the
   * engine is given the task: at `add`, or as soon as it can be reached. It bounds how late a task runs whose web process
   * has died; a response that takes longer does not keep its tasks back. At least twice `acceptTimeout`.
   *
   * @default 60_000
   */
  readonly hold?: number | undefined;
  /**
   * How long the engine may take to accept a task, in milliseconds. After that `handle.accepted` rejects with
   * `ERR_BACKGROUND_ENGINE`, which Express answers with 503. The clock starts at `add`.
   *
   * @default 5_000
   */
  readonly acceptTimeout?: number | undefined;
  /**
   * The most bytes that a task's arguments may take as JSON.
   *
   * @default 262_144
   */
  readonly maxArgumentsSize?: number | undefined;
}

/** How this process runs durable tasks. */
export interface WorkOptions {
  /**
   * How many durable tasks may be under way here at once.
   *
   * @default `pool.maxThreads`
   */
  readonly concurrency?: number | undefined;
  /**
   * How long a task whose name is not registered here is put back for others, as after half a deploy, in milliseconds.
   * Then it is kept as failed. The clock starts at `add`.
   *
   * @default 86_400_000 (a day)
   */
  readonly unknownFor?: number | undefined;
}

const DEFAULT_HOLD = 60 * SECOND;
const DEFAULT_ACCEPT_TIMEOUT = 5 * SECOND;
const DEFAULT_MAX_ARGUMENTS_SIZE = 256 * 2 ** 10;
const DEFAULT_UNKNOWN_FOR = 24 * 60 * 60 * SECOND;
/** A task that was worth keeping is worth another attempt. */
const DURABLE_ATTEMPTS = 3;

export const durableRules: Rules<DurableOptions> = {
  hold: milliseconds(1),
  acceptTimeout: milliseconds(1),
  maxArgumentsSize: anInteger({ from: 1 }),
};

export const workRules: Rules<WorkOptions> = { concurrency: anInteger({ from: 1 }), unknownFor: milliseconds(0) };

/** How durable tasks are handed over, and by which policy. */
export interface ResolvedDurableOptions extends Filled<DurableOptions> {
  readonly policy: Policy;
}

export type ResolvedWorkOptions = Filled<WorkOptions>;

export function resolveDurable(
  given: Omit<TaskOptions, 'name'> & { readonly durable?: DurableOptions | undefined },
): ResolvedDurableOptions {
  const { hold = DEFAULT_HOLD, acceptTimeout = DEFAULT_ACCEPT_TIMEOUT } = given.durable ?? {};
  const { maxArgumentsSize = DEFAULT_MAX_ARGUMENTS_SIZE } = given.durable ?? {};
  check({ hold }, { hold: longEnough(acceptTimeout) }, 'backgroundTasks()', 'durable.');
  const policy = mergePolicy(mergePolicy(DEFAULT_POLICY, { retry: { attempts: DURABLE_ATTEMPTS } }), given);
  return Object.freeze({ hold, acceptTimeout, maxArgumentsSize, policy });
}

/** A task may be accepted that late, and near the end of its hold it is not released any more. */
function longEnough(acceptTimeout: number): Rule {
  return {
    expected: `at least twice acceptTimeout (${acceptTimeout}), so that a task can be released before its hold is over`,
    accepts: (hold) => (hold as number) >= 2 * acceptTimeout,
  };
}

/** @param maxThreads how many tasks run at once where `work` does not say. */
export function resolveWork(
  work: WorkOptions | boolean | undefined,
  hasEngine: boolean,
  maxThreads: number,
): ResolvedWorkOptions | undefined {
  if (work === undefined || work === false) return undefined;
  if (!hasEngine) {
    throw optionError(
      'Expected `engine` of backgroundTasks() to be given with `work`: the engine holds the tasks that `work` runs.',
    );
  }
  const { concurrency = maxThreads, unknownFor = DEFAULT_UNKNOWN_FOR } = work === true ? {} : work;
  return Object.freeze({ concurrency, unknownFor });
}
