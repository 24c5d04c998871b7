/** A task as an engine is given it. */
import type { ResolvedDurableOptions } from '../options/durable.ts';
import type { Policy } from '../options/policy.ts';
import type { DurableRun } from './durable-run.ts';
import type { StagedTask } from './engine.ts';
import { jsonCopy } from './json.ts';

/** What a task is given, as an engine keeps it. */
interface KeptInput {
  readonly args: readonly unknown[];
  readonly context: unknown;
  /** How much of both there is, as JSON. */
  readonly bytes: number;
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_JSON`, `ERR_BACKGROUND_TOO_LARGE`. */
export function keptInput(
  name: string,
  args: readonly unknown[],
  context: unknown,
  { maxArgumentsSize }: ResolvedDurableOptions,
): KeptInput {
  const keptArgs = jsonCopy(args, `the arguments of task ${name}`, maxArgumentsSize);
  if (context === undefined) return { args: keptArgs.value, context, bytes: keptArgs.bytes };
  const keptContext = jsonCopy(context, `what \`context\` returned for task ${name}`, maxArgumentsSize);
  return { args: keptArgs.value, context: keptContext.value, bytes: keptArgs.bytes + keptContext.bytes };
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
