/** Matchers for jest and vitest, over what `watchTasks()` has seen. */
import { describeKind } from '../describe.ts';
import { optionError } from '../errors.ts';
import type { OutcomeState } from '../outcome.ts';
import { definitionOf, type Task } from '../task.ts';
import type { AddedTask, TaskWatcher } from './watch-tasks.ts';

/** The part of jest's (and vitest's) matcher context that is used. */
interface MatcherContext {
  readonly equals: (a: unknown, b: unknown, testers?: never[]) => boolean;
  /** The testers that the project has added, of the runner's own type. */
  readonly customTesters?: readonly unknown[];
  readonly utils: { readonly iterableEquality: unknown; readonly stringify: (value: unknown) => string };
  readonly isNot?: boolean;
}
interface MatcherResult {
  readonly pass: boolean;
  readonly message: () => string;
}
type AnyTask = Task<never[], unknown>;
/** One of {@link taskMatchers}, as a test runner calls it. */
export type TaskMatcher = (
  this: MatcherContext,
  watcher: TaskWatcher,
  task: AnyTask,
  ...args: unknown[]
) => MatcherResult;

/** The matchers' types, for the interface of your test runner: see docs/testing.md. */
export interface TaskMatchers<R = void> {
  /** The task was added, with these arguments where any are given. */
  toHaveAdded(task: AnyTask, ...args: unknown[]): R;
  /** The task was added like that, and has completed. */
  toHaveCompleted(task: AnyTask, ...args: unknown[]): R;
  /** The task was added like that, and has failed or timed out. */
  toHaveFailed(task: AnyTask, ...args: unknown[]): R;
  /** The task was added like that, and was skipped. */
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
export const taskMatchers: Readonly<Record<keyof TaskMatchers, TaskMatcher>> = {
  toHaveAdded: matcher('toHaveAdded', 'been added', () => true),
  toHaveCompleted: matcher('toHaveCompleted', 'completed', isOneOf('completed')),
  toHaveFailed: matcher('toHaveFailed', 'failed', isOneOf('failed', 'timed-out')),
  toHaveSkipped: matcher('toHaveSkipped', 'been skipped', isOneOf('skipped')),
};

function isOneOf(...states: OutcomeState[]): (one: AddedTask) => boolean {
  return ({ handle }) => (states as readonly string[]).includes(handle.state);
}

function matcher(matcherName: keyof TaskMatchers, what: string, isSo: (one: AddedTask) => boolean): TaskMatcher {
  return function (watcher, task, ...args) {
    checkIsWatcher(watcher, matcherName);
    const { name } = definitionOf(task);
    const isEqual = equalityOf(this);
    const matches = watcher
      .of(task as Task<unknown[], unknown>)
      .filter((one) => isSo(one) && (args.length === 0 || isEqual(one.args, args)));
    // As the runner shows them, which knows what `expect.any(Date)` is; vitest would use several lines.
    const show = (arg: unknown): string => this.utils.stringify(arg).replaceAll(/\s*\n\s*/g, ' ');
    const callOf = (of: string, given: readonly unknown[]): string => `${of}(${given.map(show).join(', ')})`;
    return {
      pass: matches.length > 0,
      message: () => {
        const expected = args.length === 0 ? name : callOf(name, args);
        return `Expected task ${expected} ${this.isNot ? 'not ' : ''}to have ${what}.\n\nAdded were:\n${listOf(watcher.added, callOf)}`;
      },
    };
  };
}

/** The middleware is what a test has at hand, but has not kept what was added to it. */
function checkIsWatcher(given: unknown, matcherName: string): void {
  if (typeof (given as Partial<TaskWatcher> | null | undefined)?.of === 'function') return;
  throw optionError(
    `Expected ${matcherName}() to be called on what watchTasks() returned, got ${describeKind(given)}: write const tasks = watchTasks(background) before the tasks are added, and then expect(tasks).${matcherName}(…).`,
  );
}

/** As by `toEqual`: without the runner's own tester, two maps are equal whatever is in them. */
function equalityOf({ equals, customTesters = [], utils }: MatcherContext): (a: unknown, b: unknown) => boolean {
  const testers = [...customTesters, utils.iterableEquality];
  return (a, b) => equals(a, b, testers as never[]);
}

function listOf(added: readonly AddedTask[], callOf: (name: string, args: readonly unknown[]) => string): string {
  if (added.length === 0) return '  no task at all';
  return added
    .map(({ name, args, handle, error }) => {
      const why = error === undefined ? '' : `, ${error.name}: ${error.message}`;
      return `  ${callOf(name, args)}: ${handle.state}${why}`;
    })
    .join('\n');
}
