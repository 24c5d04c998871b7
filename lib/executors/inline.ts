/** For tests: runs the exports of modules on the event loop, on clones of their arguments, without any thread. */
import { fileURLToPath } from 'node:url';
import { lostResult } from '../cloneable.ts';
import { toError } from '../outcome.ts';
import { EventLoopExecutor } from './event-loop.ts';
import type { Attempt, AttemptResult, Executor } from './executor.ts';
import { loadFunction } from './worker/task-module.ts';

type Callable = (...args: unknown[]) => unknown;

/**
 * Test runners load modules in their own way (transforms, mocks): there the CommonJS build's `import()` is their
 * `require`, which takes paths. Elsewhere it is the real one, which takes URLs.
 */
const takesPaths = typeof require === 'function';

export function createInlineExecutor(): Executor {
  return new EventLoopExecutor(async ({ target }: Attempt): Promise<Callable> => {
    if (target.kind === 'function') return target.call;
    const run = await loadFunction(takesPaths ? fileURLToPath(target.module) : target.module, target.export);
    return (...args) => run(...structuredClone(args));
  }, concludeAsThreadsDo);
}

function concludeAsThreadsDo(value: unknown, { task }: Attempt): AttemptResult {
  try {
    return { ok: true, value: structuredClone(value) };
  } catch (thrown) {
    return { ok: true, value: undefined, warning: lostResult(task.name, toError(thrown).message) };
  }
}
