/** `watchTasks()`: sees which tasks an application adds in a test, and decides how they run. */

import type { WatchedTask } from '../admission.ts';
import type { BackgroundTasks } from '../background-tasks.ts';
import { CLONE_FOR_WORKER } from '../clone.ts';
import { describe, describeKind } from '../describe.ts';
import { optionError } from '../errors.ts';
import type { TaskHandle } from '../handle.ts';
import type { Instance } from '../instance.ts';
import { instanceOf } from '../instance-of.ts';
import { transferListOf } from '../move.ts';
import { MODES, type Mode } from '../options/middleware.ts';
import type { Outcome } from '../outcome.ts';
import { processWide } from '../process-wide.ts';
import type { TaskRun } from '../run.ts';
import { definitionOf, type Task } from '../task.ts';

/** A task that was added while a {@link TaskWatcher} watched. */
export interface AddedTask<Args extends unknown[] = unknown[], Value = unknown> {
  /** What was given to `add`. */
  readonly task: Task<Args, Value>;
  /** The task's name. */
  readonly name: string;
  /** The arguments; of a blocking task, copies, as its thread gets them. */
  readonly args: Args;
  /** What `add` returned. */
  readonly handle: TaskHandle<Awaited<Value>>;
  /** What it has failed with, once it has settled. */
  readonly error: Error | undefined;
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
  /** Ends this watch. The instance has the mode of the latest that is open, or the one it had before any. */
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
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for anything but a middleware of this package, for an unknown mode, and for `run`
 * where the middleware has an engine and was made in another mode: its engine was never connected.
 * @example
 * const tasks = watchTasks(background);
 * await request(app).post('/users').send({ email: 'ada@example.com' });
 * await tasks.idle();
 * expect(tasks).toHaveCompleted(sendWelcome, 'ada@example.com');
 * tasks.restore();
 */
export function watchTasks(background: BackgroundTasks<unknown>, mode: Mode = 'inline'): TaskWatcher {
  const instance = givenInstance(background);
  if (!MODES.includes(mode)) {
    throw optionError(`Expected the mode of watchTasks() to be 'run', 'inline' or 'record', got ${describe(mode)}.`);
  }
  checkEngine(instance, mode);
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

/** The watches of one instance that are open, the latest last. */
interface Watches {
  /** The instance's mode when nobody watches. */
  readonly unwatched: Mode;
  readonly open: { readonly mode: Mode; readonly added: AddedTask[] }[];
}

const watchesOf = processWide('watches', () => new WeakMap<Instance, Watches>());

/**
 * Sets the mode of `instance`, and lists in `added` what is added to it, until the returned function is called. Of
 * several watches all list, and the latest that is open has its mode.
 */
function watch(instance: Instance, mode: Mode, added: AddedTask[]): () => void {
  const watches = watchesOf.get(instance) ?? beginWatching(instance);
  const { open, unwatched } = watches;
  const own = { mode, added };
  open.push(own);
  instance.mode = mode;
  return () => {
    const index = open.indexOf(own);
    // A second call, as of an `afterEach` after a `using`, must not end a watch that has begun since.
    if (index === -1) return;
    open.splice(index, 1);
    instance.mode = open.at(-1)?.mode ?? unwatched;
    if (open.length > 0) return;
    instance.admission.onAdded = undefined;
    watchesOf.delete(instance);
  };
}

function beginWatching(instance: Instance): Watches {
  const watches: Watches = { unwatched: instance.mode, open: [] };
  watchesOf.set(instance, watches);
  instance.admission.onAdded = ({ task, run }: WatchedTask): void => {
    const { name, handle } = run;
    const settled = { error: undefined as Error | undefined };
    void run.settled.then(({ error }) => Object.assign(settled, { error }));
    for (const { added } of watches.open) {
      added.push({
        task: task as AddedTask['task'],
        name,
        args: keptArguments(run),
        handle,
        get error() {
          return settled.error;
        },
      });
    }
  };
  return watches;
}

/** The arguments, and copies where they would be emptied: what is moved to a thread is not here any more. */
function keptArguments({ args, executor }: TaskRun): unknown[] {
  if (executor !== 'thread' || transferListOf(args).length === 0) return [...args];
  // Of a port there is one, and nothing in it to compare.
  return args.map((arg) => (arg instanceof MessagePort ? arg : CLONE_FOR_WORKER.thread(arg)));
}

function givenInstance(background: unknown): Instance {
  const instance = instanceOf(background);
  if (instance !== undefined) return instance;
  throw optionError(
    `Expected watchTasks() to be given what backgroundTasks() returned, got ${describeKind(background)}.`,
  );
}

/** An instance that was made for tests cannot hand its durable tasks over later: it has never asked its engine to start. */
function checkEngine({ options, durable }: Instance, mode: Mode): void {
  if (mode !== 'run' || options.engine === undefined || durable !== undefined) return;
  throw optionError(
    `Expected the mode of watchTasks() to be 'inline' or 'record', got 'run': this backgroundTasks() was made with mode: '${options.mode}', so that its engine was never connected. Make it without \`mode\`, or without \`engine\`.`,
  );
}

/** References of two `blocking(…)` calls may stand for the same task. */
function isSameTask(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  const [a, b] = [definitionOf(one).target, definitionOf(other).target];
  return a.kind === 'module' && b.kind === 'module' && a.module === b.module && a.export === b.export;
}
