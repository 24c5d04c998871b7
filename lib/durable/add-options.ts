/** What `with` may say of a durable task. */
import { describe } from '../describe.ts';
import { optionError } from '../errors.ts';
import type { AddOptions } from '../options/task.ts';

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for what its engine, or the worker that runs it, could not act by. */
export function checkDurableAddOptions(taskName: string, options: AddOptions | undefined): void {
  if (options === undefined) return;
  const { name, executor, retry } = options;
  if (name !== undefined) {
    throw optionError(
      `Expected no \`name\` of with() for the durable task ${taskName}, got ${describe(name)}: it is known to its engine by the names of its module and its export.`,
    );
  }
  if (retry?.retryIf !== undefined) {
    throw optionError(
      `Expected \`retry.retryIf\` of task ${taskName} to be given to durable(), got it in with(): a function cannot be sent to the worker that would call it.`,
    );
  }
  if (executor !== undefined) {
    throw optionError(
      `Expected \`executor\` of task ${taskName} to be given to durable(), got it in with(): a worker takes it from the module that registers the task.`,
    );
  }
}
