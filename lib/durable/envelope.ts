/** A task as an engine is given it. */
import type { ResolvedDurableOptions } from '../options/durable.ts';
import type { Policy } from '../options/policy.ts';
import type { DurableRun } from './durable-run.ts';
import type { StagedTask } from './engine.ts';
import { jsonCopy } from './json.ts';

/**
 * A copy of a task's arguments, as an engine keeps them.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_JSON`, `ERR_BACKGROUND_TOO_LARGE`.
 */
export function argumentsFor(
  name: string,
  args: readonly unknown[],
  { maxArgumentsSize }: ResolvedDurableOptions,
): readonly unknown[] {
  return jsonCopy(args, `the arguments of task ${name}`, maxArgumentsSize);
}

/** The same for a task's context. */
export function contextFor(name: string, context: unknown, { maxArgumentsSize }: ResolvedDurableOptions): unknown {
  if (context === undefined) return undefined;
  return jsonCopy(context, `what \`context\` returned for task ${name}`, maxArgumentsSize);
}

/** @param policy for the attempts in a worker. The run has one of its own, for the hand-over. */
export function stagedTask(
  { id, name, args, context }: DurableRun,
  { timeout, priority, retry }: Policy,
): Omit<StagedTask, 'holdMs'> {
  const { attempts, delay, factor, maxDelay, jitter } = retry;
  return {
    envelope: {
      v: 1,
      id,
      task: name,
      args,
      ...(context === undefined ? {} : { context }),
      ...(timeout === Number.POSITIVE_INFINITY ? {} : { timeout }),
    },
    priority,
    retry: { attempts, delay, factor, maxDelay, jitter },
  };
}
