/** A worker's check before it takes tasks: every registered module loads, and exports the functions that are used of it. */
import { RunningTask } from '../current-task.ts';
import { BackgroundTaskError } from '../errors.ts';
import type { Attempt, AttemptResult, Executor, LocalExecutors } from '../executors/executor.ts';
import { specifierHere } from '../executors/inline.ts';
import { isTaskName } from '../module-tasks.ts';
import { moduleExports } from '../package-files.ts';
import type { TaskDefinition } from '../task.ts';
import { SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import { functionsOf } from './module-exports.ts';
import { type RegisteredModule, registeredModules } from './registry.ts';

/** A module that takes longer to load may wait for something that never comes. */
const LONG = 5 * SECOND;

type OnSlow = (module: RegisteredModule, afterMs: number) => void;

/**
 * @param onSlow called for a module that has not loaded after some seconds.
 * @returns the tasks that can be run here, by name.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_REGISTRY` if no module is registered, one does not load, or an export is missing.
 */
export async function checkRegistry(
  executors: LocalExecutors,
  onSlow: OnSlow,
): Promise<ReadonlyMap<string, TaskDefinition>> {
  const modules = registeredModules();
  if (modules.length === 0) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_REGISTRY',
      'Expected at least one module to be registered, got none: a worker imports the module that calls durable().',
    );
  }
  const tasks = await Promise.all(modules.map((registered) => tasksOf(registered, executors, onSlow)));
  return new Map(tasks.flat().map((definition) => [definition.name, definition]));
}

async function tasksOf(
  registered: RegisteredModule,
  executors: LocalExecutors,
  onSlow: OnSlow,
): Promise<TaskDefinition[]> {
  const { name, module, executor, named } = registered;
  const asking =
    executor === 'event-loop' ? functionsOf(specifierHere(module)) : askWorker(module, executors[executor]);
  const slow = setTimeout(onSlow, LONG, registered, LONG).unref();
  const functions = await asking
    .catch((thrown: unknown) => {
      const cause = toError(thrown);
      throw new BackgroundTaskError(
        'ERR_BACKGROUND_REGISTRY',
        `Expected the module registered as ${name} to load in a worker: ${cause.message}`,
        { cause },
      );
    })
    .finally(() => clearTimeout(slow));
  const missing = [...named].find((exportName) => !functions.includes(exportName));
  if (missing === undefined)
    return functions.filter(isTaskName).map((exportName) => registered.definitionOf(exportName));
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_REGISTRY',
    `Expected ${module}, registered as ${name}, to export a function ${missing}. Its functions are: ${functions.join(', ') || 'none'}.`,
  );
}

/** Asks by an attempt without a task, so that nothing is counted. */
function askWorker(module: string, executor: Executor): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const facts = { id: 'registry', name: 'registry', attempt: 1, context: undefined };
    executor.execute({
      target: { kind: 'module', module: moduleExports.href, export: 'functionsOf' },
      args: [module],
      task: new RunningTask(facts, 1),
      facts,
      kept: undefined,
      priority: 0,
      isLast: true,
      started() {},
      returned() {},
      resumed() {},
      ended(result: AttemptResult) {
        if (!result.ok) reject(result.thrown);
        else if (result.warning === undefined) resolve(result.value as string[]);
        // The names are a result like any other, and `maxResultSize` may be less.
        else reject(result.warning);
      },
    } satisfies Attempt);
  });
}
