/** Exports of modules on the event loop: durable tasks that only wait, and in tests all that would run in threads. */
import { fileURLToPath } from 'node:url';
import type { Clone } from '../clone.ts';
import type { Callable, TaskTarget } from '../task.ts';
import { toError } from '../to-error.ts';
import { EventLoopExecutor, type Resolve } from './event-loop.ts';
import type { Attempt, AttemptResult, Executor } from './executor.ts';
import { lostResult } from './lost-values.ts';
import { loadedFunction, loadFunction } from './task-module.ts';

/**
 * Test runners load modules in their own way (transforms, mocks): there the CommonJS build's `import()` is their
 * `require`, which takes paths. Elsewhere it is the real one, which takes URLs.
 */
const takesPaths = typeof require === 'function';

/** A module's URL, as this thread imports it. */
export function specifierHere(module: string): string {
  return takesPaths ? fileURLToPath(module) : module;
}

/** The function that an export is in this thread; a promise of it where its module has to be loaded. */
export function loadHere({ module, export: name }: Extract<TaskTarget, { kind: 'module' }>): ReturnType<Resolve> {
  const specifier = specifierHere(module);
  return loadedFunction(specifier, name) ?? loadFunction(specifier, name);
}

/** For tests. Runs on clones of the arguments, so that a test finds what a worker would refuse or receive changed. */
export function createInlineExecutor(clone: Clone): Executor {
  const resolve = async ({ target }: Attempt): Promise<Callable> => {
    if (target.kind === 'function') return target.call;
    const run = await loadHere(target);
    return (...args) => run(...(clone(args) as unknown[]));
  };
  const conclude = (value: unknown, { task }: Attempt): AttemptResult => {
    try {
      return { ok: true, value: clone(value) };
    } catch (thrown) {
      return { ok: true, value: undefined, warning: lostResult(task.name, toError(thrown).message) };
    }
  };
  return new EventLoopExecutor(resolve, conclude);
}
