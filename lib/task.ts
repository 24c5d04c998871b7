/** What a task is: something that can be described as a name, a place to run, and a policy. */
import { types } from 'node:util';
import { describe } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import type { ExecutorName } from './executor-names.ts';
import { resolveTaskOptions, type TaskOptions } from './options/task.ts';

/** A function that can run after the response, called without `this`. Its arguments are checked against what is passed to `add`. */
export type TaskFunction<Args extends unknown[] = never[], Value = unknown> = (this: void, ...args: Args) => Value;

/**
 * A reference to one exported function of a module, as {@link blocking} and {@link durable} make it. This thread does not
 * load the module: the reference cannot be called; it can be added.
 */
export interface BlockingTask<Args extends unknown[] = never[], Value = unknown> {
  /** The export's name, unless `blocking` was given one; of `durable`, the module's name and the export's, as `mail.sendInvoice`. */
  readonly name: string;
  /** The `file:` URL of the module. */
  readonly module: string;
  /** The name of the export. */
  readonly export: string;
  /** Only for the compiler: carries the function's type, and never exists at run time. */
  readonly __signature?: (...args: Args) => Value;
}

/** Whatever `add` takes. */
export type Task<Args extends unknown[] = never[], Value = unknown> =
  | TaskFunction<Args, Value>
  | BlockingTask<Args, Value>;

/** A function, as it is called: its arguments were checked where the task was added. */
export type Callable = (...args: unknown[]) => unknown;

/** A task, as messages speak of it. */
export interface NamedTask {
  readonly id: string;
  readonly name: string;
}

/** Where a task's code is found: the two kinds that there are. */
export type TaskTarget =
  | { readonly kind: 'function'; readonly call: Callable }
  | { readonly kind: 'module'; readonly module: string; readonly export: string };

/** All that the package knows of a task before it is added. */
export interface TaskDefinition {
  readonly name: string;
  readonly executor: ExecutorName;
  readonly target: TaskTarget;
  /** The task's own level of options, the one between `with` and the middleware's. */
  readonly options: TaskOptions;
  /** Whether an engine keeps it, where there is one. Its name is then its key in the engine. */
  readonly isDurable?: boolean;
  /** What a worker makes of the arguments that it was sent. */
  readonly parse?: ((args: unknown[]) => readonly unknown[]) | undefined;
}

// A symbol of the registry: a task defined by the ESM copy of the package is one for the CommonJS copy as well.
const DEFINITION: unique symbol = Symbol.for('express-background-tasks.definition');

interface Defined {
  readonly [DEFINITION]: TaskDefinition;
}

/** What stands for a whole module answers `true` to it: no task, but easily taken for one. */
export const WHOLE_MODULE: unique symbol = Symbol.for('express-background-tasks.module');

interface WholeModule {
  readonly [WHOLE_MODULE]: true;
}

/** Writes a definition on the function or reference that stands for it. */
export function carryDefinition<T extends object>(carrier: T, definition: TaskDefinition): T & Defined {
  return Object.defineProperty(carrier, DEFINITION, { value: Object.freeze(definition) }) as T & Defined;
}

const ANONYMOUS = 'anonymous';

/** A function's name may have been defined as anything, a getter that throws included. */
function nameOf(fn: object): string {
  try {
    const { name } = fn as { name?: unknown };
    return typeof name === 'string' && name !== '' ? name : ANONYMOUS;
  } catch {
    return ANONYMOUS;
  }
}

/** The options of tasks that have none of their own. Recognized by identity. */
export const NO_OPTIONS: TaskOptions = Object.freeze({});

/** The definition behind whatever was given to `add`; throws for what is no task. */
export function definitionOf(task: unknown): TaskDefinition {
  if ((typeof task === 'function' || typeof task === 'object') && task !== null) {
    const known = (task as Partial<Defined>)[DEFINITION];
    if (known !== undefined) return known;
  }
  if (typeof task !== 'function') {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_TASK',
      `Expected a task to be a function, defineTask(…) or an export of blocking(…), got ${describe(task)} (${typeof task}).${adviceFor(task)}`,
    );
  }
  assertRuns(task);
  // Not remembered by function: most closures are added once, and a WeakMap of them costs more than all else in `add`.
  return {
    name: nameOf(task),
    executor: 'event-loop',
    target: { kind: 'function', call: task as Callable },
    options: NO_OPTIONS,
  };
}

/** A generator's code does not begin when it is called: as a task it would be `completed`, and have done nothing. */
function assertRuns(fn: unknown): void {
  if (!types.isGeneratorFunction(fn)) return;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_TASK',
    `Expected a task to be a function that does its work when it is called, got ${describe(fn)}, a generator function: write a function that iterates over it.`,
  );
}

function adviceFor(task: unknown): string {
  if (types.isPromise(task)) {
    return ' The function was called already: pass the function and its arguments separately, as in add(sendEmail, address).';
  }
  if (task === undefined) return ' Check the import: is the name right, and is there an import cycle?';
  if ((task as Partial<WholeModule> | null)?.[WHOLE_MODULE]) {
    return ' It stands for a module: name one of its exports, as in add(reports.summarise, rows).';
  }
  return '';
}

/**
 * Gives a function a name and a policy of its own, for the event loop.
 *
 * Returns a new function that calls `fn`, so that one function can be defined twice with different options. Options given
 * to `with(…)` win over these, and these win over the middleware's.
 *
 * @param fn the function; it may be asynchronous.
 * @param options `name`, `when`, `timeout`, `retry`, `priority`; each optional.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_TASK` if `fn` is no function; `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type.
 * @example
 * const sendInvoice = defineTask(async (id: number) => { … }, { name: 'invoice', retry: { attempts: 5 } });
 * res.locals.backgroundTasks.add(sendInvoice, order.id);
 */
export function defineTask<Args extends unknown[], Value>(
  fn: TaskFunction<Args, Value>,
  options: TaskOptions = {},
): (...args: Args) => Value {
  if (typeof fn !== 'function') {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_TASK',
      `Expected defineTask() to be given a function, got ${describe(fn)} (${typeof fn}).`,
    );
  }
  assertRuns(fn);
  const resolved = resolveTaskOptions(options, 'defineTask()');
  const name = resolved.name ?? nameOf(fn);
  const task = (...args: Args): Value => fn(...args);
  Object.defineProperty(task, 'name', { value: name });
  return carryDefinition(task, {
    name,
    executor: 'event-loop',
    target: { kind: 'function', call: fn as unknown as Callable },
    options: resolved,
  });
}
