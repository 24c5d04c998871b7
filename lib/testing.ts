/** The `./testing` entry: run tasks without threads or not at all, see what was added, wait, and assert. */
import { types } from 'node:util';
import type { WatchedTask } from './admission.ts';
import type { BackgroundTasks } from './background-tasks.ts';
import { describe } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import type { TaskHandle } from './handle.ts';
import type { Instance } from './instance.ts';
import { INSTANCE } from './middleware.ts';
import type { Mode } from './options.ts';
import type { Outcome, OutcomeState } from './outcome.ts';
import { definitionOf, type Task } from './task.ts';

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
  /** Of those, the ones of this task. */
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
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for what is no middleware of this package, or no mode.
 * @example
 * const tasks = watchTasks(background);
 * await request(app).post('/users').send({ email: 'ada@example.com' });
 * await tasks.idle();
 * expect(tasks).toHaveCompleted(sendWelcome, 'ada@example.com');
 * tasks.restore();
 */
export function watchTasks(background: BackgroundTasks<unknown>, mode: Mode = 'inline'): TaskWatcher {
  const instance = instanceOf(background);
  if (!(['run', 'inline', 'record'] as readonly unknown[]).includes(mode)) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      `Expected the mode of watchTasks() to be 'run', 'inline' or 'record', got ${describe(mode)}.`,
    );
  }
  const previous = { mode: instance.mode, watcher: instance.admission.watcher };
  const added: AddedTask[] = [];
  const watch = ({ task, run }: WatchedTask): void => {
    added.push({ task: task as AddedTask['task'], name: run.name, args: [...run.args], handle: run.handle });
    previous.watcher?.({ task, run });
  };
  instance.admission.watcher = watch;
  instance.mode = mode;
  let isOver = false;

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
    restore() {
      // Called again, by an `afterEach` after a `using`, it is not this watch that it would end.
      if (isOver) return;
      isOver = true;
      instance.admission.watcher = previous.watcher;
      instance.mode = previous.mode;
    },
    [Symbol.dispose]: () => watcher.restore(),
  };
  return watcher;
}

function instanceOf(background: BackgroundTasks<unknown>): Instance {
  const instance = (background as Partial<Record<typeof INSTANCE, Instance>> | undefined)?.[INSTANCE];
  if (instance !== undefined) return instance;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_OPTION',
    `Expected watchTasks() to be given what backgroundTasks() returned, got ${describe(background)}.`,
  );
}

/** A reference made anew by another `blocking(…)` call stands for the same task. */
function isSameTask(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  const [a, b] = [definitionOf(one).target, definitionOf(other).target];
  return a.kind === 'module' && b.kind === 'module' && a.module === b.module && a.export === b.export;
}

/** Says whether two values are the same, where it knows; `undefined` where it does not. */
type Tester = (a: unknown, b: unknown) => boolean | undefined;

/** What of jest's (and vitest's) matcher context is used. */
interface MatcherContext {
  readonly equals: (a: unknown, b: unknown, testers?: Tester[]) => boolean;
  /** Those that the project has added, of the runner's own type. */
  readonly customTesters?: readonly unknown[];
  readonly isNot?: boolean;
}
interface MatcherResult {
  readonly pass: boolean;
  readonly message: () => string;
}
type AnyTask = Task<never[], unknown>;
type Matcher = (this: MatcherContext, watcher: TaskWatcher, task: AnyTask, ...args: unknown[]) => MatcherResult;

/** The matchers' types, for the interface of your test runner: see docs/testing.md. */
export interface TaskMatchers<R = void> {
  /** The task was added, with these arguments where any are given. */
  toHaveAdded(task: AnyTask, ...args: unknown[]): R;
  /** The task was added so, and has completed. */
  toHaveCompleted(task: AnyTask, ...args: unknown[]): R;
  /** The task was added so, and has failed or timed out. */
  toHaveFailed(task: AnyTask, ...args: unknown[]): R;
  /** The task was added so, and was skipped. */
  toHaveSkipped(task: AnyTask, ...args: unknown[]): R;
}

declare global {
  namespace jest {
    // biome-ignore lint/complexity/noBannedTypes: the parameters must be those of the interface that is extended.
    interface Matchers<R, T = {}> extends TaskMatchers<R> {}
  }
}

/**
 * Matchers for jest and vitest.
 *
 * @example
 * expect.extend(taskMatchers);
 * expect(tasks).toHaveAdded(sendWelcome, 'ada@example.com');
 * expect(tasks).toHaveCompleted(images.thumbnail, expect.any(String), 200);
 * expect(tasks).not.toHaveAdded(sendInvoice);
 */
export const taskMatchers: Readonly<Record<keyof TaskMatchers, Matcher>> = {
  toHaveAdded: matcher('added', () => true),
  toHaveCompleted: matcher('completed', isOneOf('completed')),
  toHaveFailed: matcher('failed', isOneOf('failed', 'timed-out')),
  toHaveSkipped: matcher('skipped', isOneOf('skipped')),
};

function isOneOf(...states: OutcomeState[]): (one: AddedTask) => boolean {
  return ({ handle }) => (states as readonly string[]).includes(handle.state);
}

function matcher(what: string, isSo: (one: AddedTask) => boolean): Matcher {
  return function (watcher, task, ...args) {
    const { name } = definitionOf(task);
    const isEqual = equalityOf(this);
    const matches = watcher
      .of(task as Task<unknown[], unknown>)
      .filter((one) => isSo(one) && (args.length === 0 || isEqual(one.args, args)));
    const expected = args.length === 0 ? name : `${name}(${args.map(describe).join(', ')})`;
    return {
      pass: matches.length > 0,
      message: () =>
        `Expected task ${expected} ${this.isNot ? 'not ' : ''}to have been ${what}.\n\nAdded were:\n${listOf(watcher.added)}`,
    };
  };
}

/**
 * As `toEqual` has it. By itself `equals` finds all maps equal, and all sets; and the testers that would know better ask
 * for maps of one realm, which a test's and its copy for a thread are not.
 */
function equalityOf({ equals, customTesters = [] }: MatcherContext): (a: unknown, b: unknown) => boolean {
  const isEqual = (a: unknown, b: unknown): boolean => equals(a, b, testers);
  const testers: Tester[] = [
    ...(customTesters as Tester[]),
    (a, b) => {
      if (!(types.isMap(a) && types.isMap(b)) && !(types.isSet(a) && types.isSet(b))) return undefined;
      const [one, other] = [[...a], [...b]];
      return a.size === b.size && isWithin(one, other, isEqual) && isWithin(other, one, isEqual);
    },
  ];
  return isEqual;
}

function isWithin(
  part: readonly unknown[],
  whole: readonly unknown[],
  isEqual: (a: unknown, b: unknown) => boolean,
): boolean {
  return part.every((one) => whole.some((other) => isEqual(one, other)));
}

function listOf(added: readonly AddedTask[]): string {
  if (added.length === 0) return '  no task at all';
  return added
    .map(({ name, args, handle }) => `  ${name}(${args.map(describe).join(', ')}): ${handle.state}`)
    .join('\n');
}
