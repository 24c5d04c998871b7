/** One `backgroundTasks()`: how a task is taken on, and what all of its tasks share. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Backlog } from './backlog.ts';
import { type Clone, cloneBySerialization, snapshot, snapshotArguments } from './cloneable.ts';
import { currentTask, RunningTask, taskContext } from './current-task.ts';
import { Deadlines } from './deadlines.ts';
import { EventLoopExecutor } from './executors/event-loop.ts';
import type { Executor } from './executors/executor.ts';
import { createInlineExecutor } from './executors/inline.ts';
import { createProcessPool } from './executors/process-pool.ts';
import { createThreadPool } from './executors/thread-pool.ts';
import type { WorkerPool, WorkerPoolOptions } from './executors/worker-pool.ts';
import { hookError } from './hooks.ts';
import type { Mode, TaskOptions } from './options.ts';
import { type ExecutorName, WORKER_KINDS, type WorkerKind } from './outcome.ts';
import { mergePolicy, type Policy } from './policy.ts';
import { Reporter } from './report.ts';
import { type ResolvedOptions, resolveTaskOptions } from './resolve-options.ts';
import { type NewTask, type Owner, type Runtime, TaskRun } from './run.ts';
import { definitionOf, NO_OPTIONS, type TaskDefinition } from './task.ts';
import { InstanceWatch } from './watchdog/instance-watch.ts';

const ID_PREFIX_BYTES = 4;

/** How arguments are copied on their way to each executor; on the event loop nothing crosses, and nothing is copied. */
const CLONE_FOR: Readonly<Record<ExecutorName, Clone | undefined>> = {
  'event-loop': undefined,
  thread: structuredClone,
  process: cloneBySerialization,
};

/** A task that was added while somebody watched. */
export interface WatchedTask {
  readonly task: unknown;
  readonly run: TaskRun;
}

export class Instance implements Owner {
  readonly options: ResolvedOptions;
  readonly runtime: Runtime & { readonly executors: Record<ExecutorName, Executor> };
  /** The real executors of blocking tasks, whatever the mode. */
  readonly pools: Readonly<Record<WorkerKind, WorkerPool>>;
  /** What it tells the watchdog and hears from it; none where the watchdog is off. */
  readonly watch: InstanceWatch | undefined;
  /** Tests set it to see what is added. In production nobody does, and nothing is kept. */
  watcher: ((watched: WatchedTask) => void) | undefined;
  #mode: Mode = 'run';
  // Most tasks say nothing of their own; those that do are merged once.
  readonly #policies = new WeakMap<TaskDefinition, Policy>();

  constructor(options: ResolvedOptions) {
    this.options = options;
    const reporter = new Reporter(options);
    const onStray: WorkerPoolOptions['onStray'] = (task, error) => reporter.stray(task, error);
    this.pools = {
      thread: createThreadPool(options.pool, onStray),
      process: createProcessPool(options.processes, onStray),
    };
    const { watchdog } = options;
    this.watch = watchdog && new InstanceWatch(watchdog, this, options.logger !== false);
    this.runtime = {
      executors: { 'event-loop': new EventLoopExecutor(callOf, undefined, this.watch), ...this.pools },
      backlog: new Backlog<TaskRun>(options.maxBacklog),
      reporter,
      deadlines: new Deadlines(),
      idPrefix: randomBytes(ID_PREFIX_BYTES).toString('hex'),
    };
    this.mode = options.mode;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** Attempts that are under way stay with the executor that has them. */
  set mode(mode: Mode) {
    this.#mode = mode;
    const inline = createInlineExecutor();
    for (const kind of WORKER_KINDS) this.runtime.executors[kind] = mode === 'run' ? this.pools[kind] : inline;
  }

  /**
   * Takes a task on, or throws in the caller's code: from here on it is counted, and will settle.
   *
   * @param req the request that `context` is asked about; none for a task without a response.
   */
  accept(owner: Owner, task: unknown, args: readonly unknown[], options?: TaskOptions, req?: IncomingMessage): TaskRun {
    const definition = definitionOf(task);
    const name = options?.name ?? definition.name;
    this.runtime.backlog.assertRoom(name, this.#isAddedByOwnTask);
    const clone = CLONE_FOR[definition.executor];
    // Asked first: what it throws must not come when buffers have been moved out of the caller's hands.
    const context = this.#contextFor(req, clone);
    const run = new TaskRun({
      definition,
      name,
      policy: this.#policyOf(definition, options),
      args: clone === undefined ? args : snapshotArguments(args, name, clone),
      context,
      owner,
    } satisfies NewTask);
    this.watcher?.({ task, run });
    return run;
  }

  /** Adds a task that has no response: it starts at once. */
  addDetached(task: unknown, args: readonly unknown[], options?: TaskOptions): TaskRun {
    const run = this.accept(this, task, args, options);
    if (this.#mode === 'record') run.skip();
    else if (!run.isSettled) run.start();
    return run;
  }

  resolveWith(options: TaskOptions): TaskOptions {
    return resolveTaskOptions(options, 'with()');
  }

  /** Whether the code that is running now belongs to a task that was added to `owner`. */
  isAddedByTaskOf(owner: Owner): boolean {
    return RunningTask.ownerOf(taskContext.getStore()) === owner;
  }

  readonly #isAddedByOwnTask = (): boolean => {
    const owner = RunningTask.ownerOf(taskContext.getStore()) as Owner | undefined;
    return owner?.runtime === this.runtime;
  };

  #policyOf(definition: TaskDefinition, options: TaskOptions | undefined): Policy {
    const policy = this.#policyOfDefinition(definition);
    if (this.#mode === 'record') return { ...policy, when: () => false };
    return options === undefined ? policy : mergePolicy(policy, options);
  }

  #policyOfDefinition(definition: TaskDefinition): Policy {
    if (definition.options === NO_OPTIONS) return this.options.policy;
    let policy = this.#policies.get(definition);
    if (policy === undefined) {
      policy = mergePolicy(this.options.policy, definition.options);
      this.#policies.set(definition, policy);
    }
    return policy;
  }

  #contextFor(req: IncomingMessage | undefined, clone: Clone | undefined): unknown {
    const { context } = this.options;
    // A task without a request was most likely added by a task that had one.
    if (req === undefined || context === undefined) return currentTask()?.context;
    let value: unknown;
    try {
      value = context(req);
    } catch (thrown) {
      throw hookError('`context`', thrown);
    }
    return clone === undefined ? value : snapshot(value, 'what `context` returned', clone);
  }
}

function callOf({ target }: { target: TaskDefinition['target'] }): (...args: unknown[]) => unknown {
  if (target.kind !== 'function') throw new TypeError('the event loop runs functions only');
  return target.call;
}
