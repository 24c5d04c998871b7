/** `watchTasks()`: sees which tasks an application adds in a test, and decides how they run. */

import type { WatchedTask } from '../admission.ts';
import type { BackgroundTasks } from '../background-tasks.ts';
import { describe } from '../describe.ts';
import { BackgroundTaskError } from '../errors.ts';
import type { TaskHandle } from '../handle.ts';
import type { Instance } from '../instance.ts';
import { INSTANCE } from '../middleware.ts';
import type { Mode } from '../options/middleware.ts';
import type { Outcome } from '../outcome.ts';
import { definitionOf, type Task } from '../task.ts';

const MODES: readonly unknown[] = ['run', 'inline', 'record'] satisfies Mode[];

/** A task that was added while a {@link TaskWatcher} watched. */
export interface AddedTask<Args extends unknown[] = unknown[], Value = unknown> {
  /** What was given to `add`. */
  readonly task: Task<Args, Value>;
  /** The task's name. */
  readonly name: string;
  /** The arguments; of a blocking task, the copies that were made for its thread. */
  readonly args: Args;
  readonly handle: TaskHandle<Awaited<Value>>;
}

/** What {@link watchTasks} returns. */
export interface TaskWatcher {
  /** Every task added since the watch began, in order. */
  readonly added: readonly AddedTask[];
  /** Those of `added` that are of this task. */
  of<Args extends unknown[], Value>(task: Task<Args, Value>): readonly AddedTask<Args, Value>[];
  /** The outcomes of this task, once everything has settled. */
  outcomesOf<Args extends unknown[], Value>(task: Task<Args, Value>): Promise<readonly Outcome<Awaited<Value>>[]>;
  /** Resolves when nothing is waiting, running or between two attempts. */
  idle(): Promise<void>;
  /** Forgets what was added so far. */
  clear(): void;
  /** Ends the watch, and gives the instance its mode back. */
  restore(): void;
  [Symbol.dispose](): void;
}

/**
 * Watches an application's tasks in a test, and decides how they run meanwhile.
 *
 * `inline`: blocking tasks run in the main thread, where mocks and breakpoints reach them; their arguments are copied
 * all the same, so that the test finds what production would refuse. `record`: nothing runs, and each task settles as
 * `skipped`. `run`: as in production, in threads.
 *
 * @param background what `backgroundTasks()` returned.
 * @param mode the mode until `restore()`; `inline` by default.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for anything but a middleware of this package, and for an unknown mode.
 * @example
 * const tasks = watchTasks(background);
 * await request(app).post('/users').send({ email: 'ada@example.com' });
 * await tasks.idle();
 * expect(tasks).toHaveCompleted(sendWelcome, 'ada@example.com');
 * tasks.restore();
 */
export function watchTasks(background: BackgroundTasks<unknown>, mode: Mode = 'inline'): TaskWatcher {
  const instance = instanceOf(background);
  if (!MODES.includes(mode)) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      `Expected the mode of watchTasks() to be 'run', 'inline' or 'record', got ${describe(mode)}.`,
    );
  }
  const added: AddedTask[] = [];
  const restore = watch(instance, mode, added);

  const watcher: TaskWatcher = {
    added,
    of: <Args extends unknown[], Value>(task: Task<Args, Value>) =>
      added.filter((one) => isSameTask(one.task, task)) as unknown as AddedTask<Args, Value>[],
    async outcomesOf(task) {
      await watcher.idle();
      return Promise.all(watcher.of(task).map(({ handle }) => handle.settled));
    },
    idle: () => background.idle(),
    clear() {
      added.length = 0;
    },
    restore,
    [Symbol.dispose]: restore,
  };
  return watcher;
}

/** Sets the mode of `instance`, and lists in `added` what is added to it, until the returned function is called. */
function watch(instance: Instance, mode: Mode, added: AddedTask[]): () => void {
  const previous = { mode: instance.mode, watcher: instance.admission.onAdded };
  instance.admission.onAdded = ({ task, run }: WatchedTask): void => {
    added.push({ task: task as AddedTask['task'], name: run.name, args: [...run.args], handle: run.handle });
    previous.watcher?.({ task, run });
  };
  instance.mode = mode;
  let isOver = false;
  return () => {
    // A second call, as of an `afterEach` after a `using`, must not end a watch that has begun since.
    if (isOver) return;
    isOver = true;
    instance.admission.onAdded = previous.watcher;
    instance.mode = previous.mode;
  };
}

function instanceOf(background: BackgroundTasks<unknown>): Instance {
  const instance = (background as Partial<Record<typeof INSTANCE, Instance>> | undefined)?.[INSTANCE];
  if (instance !== undefined) return instance;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_OPTION',
    `Expected watchTasks() to be given what backgroundTasks() returned, got ${describe(background)}.`,
  );
}

/** References of two `blocking(…)` calls may stand for the same task. */
function isSameTask(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  const [a, b] = [definitionOf(one).target, definitionOf(other).target];
  return a.kind === 'module' && b.kind === 'module' && a.module === b.module && a.export === b.export;
}
