/** One `backgroundTasks()`: how a task is taken on, and what all of its tasks share. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Backlog } from './backlog.ts';
import { type Clone, cloneBySerialization, snapshot, snapshotArguments } from './cloneable.ts';
import { currentTask, RunningTask, taskContext } from './current-task.ts';
import { Deadlines } from './deadlines.ts';
import { DurableRun, WorkRun } from './durable/durable-run.ts';
import { argumentsFor, claim, contextFor, DurableTasks } from './durable/durable-tasks.ts';
import { durableId } from './durable/task-id.ts';
import type { Work } from './durable/work.ts';
import { BackgroundTaskError } from './errors.ts';
import { EventLoopExecutor, type Resolve } from './executors/event-loop.ts';
import type { Attempt, Executor } from './executors/executor.ts';
import { createInlineExecutor, loadHere } from './executors/inline.ts';
import { type ExecutorName, WORKER_KINDS, type WorkerKind } from './executors/names.ts';
import { createProcessPool } from './executors/process-pool.ts';
import { createThreadPool } from './executors/thread-pool.ts';
import type { WorkerPool, WorkerPoolOptions } from './executors/worker-pool.ts';
import { hookError } from './hooks.ts';
import type { AddOptions, Mode, TaskOptions } from './options.ts';
import type { Owner } from './owner.ts';
import { DEFAULT_POLICY, mergePolicy, type Policy } from './policy.ts';
import { Reporter } from './report.ts';
import { type ResolvedOptions, resolveAddOptions } from './resolve-options.ts';
import { TaskRun } from './run.ts';
import type { Runtime } from './runtime.ts';
import { definitionOf, NO_OPTIONS, type TaskDefinition } from './task.ts';
import { InstanceWatch } from './watchdog/instance-watch.ts';

const ID_PREFIX_BYTES = 4;

/** How values are copied on their way to workers and back. */
const CLONE_FOR_WORKER: Readonly<Record<WorkerKind, Clone>> = {
  thread: structuredClone,
  process: cloneBySerialization,
};

/** The same for each executor: on the event loop nothing crosses, and nothing is copied. */
const CLONE_FOR: Readonly<Record<ExecutorName, Clone | undefined>> = {
  'event-loop': undefined,
  ...CLONE_FOR_WORKER,
  engine: undefined,
};

/** What becomes of a task on an engine that is not there: it never gets that far. */
const NO_ENGINE: Executor = new EventLoopExecutor(callOf);

/** An engine is asked once: whoever was told that it has not accepted a task may have added it again. */
const HAND_OVER_POLICY = { timeout: Number.POSITIVE_INFINITY, retry: DEFAULT_POLICY.retry } as const;

/** What {@link Instance.accept} was given. */
interface Added {
  readonly owner: Owner<Runtime>;
  readonly task: unknown;
  readonly definition: TaskDefinition;
  readonly name: string;
  readonly args: readonly unknown[];
  readonly options: AddOptions | undefined;
  readonly req: IncomingMessage | undefined;
}

/** A task that was added while somebody watched. */
export interface WatchedTask {
  readonly task: unknown;
  readonly run: TaskRun;
}

export class Instance implements Owner<Runtime> {
  readonly options: ResolvedOptions;
  readonly runtime: Runtime & { readonly executors: Record<ExecutorName, Executor> };
  /** The real executors of blocking tasks, whatever the mode. */
  readonly pools: Readonly<Record<WorkerKind, WorkerPool>>;
  /** What it tells the watchdog and hears from it; none where the watchdog is off. */
  readonly watch: InstanceWatch | undefined;
  /** Where durable tasks go; none without an engine, and in tests. */
  readonly durable: DurableTasks | undefined;
  /** Tests set it to see what is added. In production nobody does, and nothing is kept. */
  watcher: ((watched: WatchedTask) => void) | undefined;
  #mode: Mode = 'run';
  // Most tasks say nothing of their own; those that do are merged once.
  readonly #policies = new WeakMap<TaskDefinition, Policy>();
  readonly #onEngine = new WeakMap<TaskDefinition, TaskDefinition>();
  #hasSaidWithoutEngine = false;

  constructor(options: ResolvedOptions) {
    this.options = options;
    const { watchdog, engine, mode } = options;
    if (engine !== undefined && mode === 'run') claim(engine);
    const reporter = new Reporter(options);
    const onStray: WorkerPoolOptions['onStray'] = (task, error) => reporter.stray(task, error);
    this.pools = {
      thread: createThreadPool(options.pool, onStray),
      process: createProcessPool(options.processes, onStray),
    };
    this.watch = watchdog && new InstanceWatch(watchdog, this, options.logger !== false);
    const executors = { 'event-loop': new EventLoopExecutor(callOf, undefined, this.watch), ...this.pools };
    if (engine !== undefined && mode === 'run') {
      this.durable = new DurableTasks({ ...options, engine }, reporter, executors, {
        run: (definition, work) => this.#runWork(definition, work),
        warn: (task, error) => reporter.warned(task, error),
      });
    }
    this.runtime = {
      executors: { ...executors, engine: this.durable?.handOver ?? NO_ENGINE },
      backlog: new Backlog(options.maxBacklog),
      reporter,
      deadlines: new Deadlines(),
      idPrefix: randomBytes(ID_PREFIX_BYTES).toString('hex'),
    };
    this.mode = mode;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** Attempts that are under way stay with the executor that has them. */
  set mode(mode: Mode) {
    this.#mode = mode;
    for (const kind of WORKER_KINDS) {
      this.runtime.executors[kind] = mode === 'run' ? this.pools[kind] : createInlineExecutor(CLONE_FOR_WORKER[kind]);
    }
  }

  /**
   * Takes a task on, or throws in the caller's code: from here on it is counted, and will settle.
   *
   * @param req the request that `context` is asked about; none for a task without a response.
   */
  accept(
    owner: Owner<Runtime>,
    task: unknown,
    args: readonly unknown[],
    options?: AddOptions,
    req?: IncomingMessage,
  ): TaskRun {
    const definition = definitionOf(task);
    const name = options?.name ?? definition.name;
    this.runtime.backlog.assertRoom(name, this.#isAddedByOwnTask);
    if (definition.isDurable && this.#mode === 'run') {
      if (this.durable !== undefined)
        return this.#acceptDurable(this.durable, { owner, task, definition, name, args, options, req });
      this.#sayWithoutEngine(name);
    }
    if (options?.transaction !== undefined) this.#refuseTransaction(definition);
    const { engine, durable } = this.options;
    // In a test: so that it finds what the engine would refuse.
    const isForEngine = definition.isDurable && engine !== undefined;
    if (isForEngine) refuseRetryIf(name, options);
    const clone = isForEngine ? undefined : CLONE_FOR[definition.executor];
    // Asked first: what it throws must not come when buffers have been moved out of the caller's hands.
    const asked = this.#contextFor(req, clone);
    const context = isForEngine ? contextFor(name, asked, durable) : asked;
    const given = isForEngine ? argumentsFor(name, args, durable) : args;
    const policy = this.#policyOf(definition, options);
    const run = this.#admit(
      new TaskRun({
        definition,
        name,
        policy,
        args: clone === undefined ? given : snapshotArguments(given, name, clone, policy.retry.attempts),
        context,
        owner,
      }),
    );
    this.watcher?.({ task, run });
    return run;
  }

  #acceptDurable(durable: DurableTasks, { owner, task, definition, name, args, options, req }: Added): TaskRun {
    refuseRetryIf(name, options);
    const { backlog, idPrefix } = this.runtime;
    const policy = this.#policyOf(definition, options);
    const run = this.#admit(
      new DurableRun({
        definition: this.#definitionOnEngine(definition),
        name,
        policy: { ...policy, ...HAND_OVER_POLICY },
        args: durable.argumentsFor(name, args, options?.transaction),
        context: contextFor(name, this.#contextFor(req, undefined), this.options.durable),
        owner,
        id: durableId(idPrefix, backlog.nextNumber),
      }),
    );
    durable.handOverTask(run, definition.name, policy, options?.transaction);
    this.watcher?.({ task, run });
    return run;
  }

  /** From here on it is counted, and will settle. */
  #admit<Run extends TaskRun>(run: Run): Run {
    this.runtime.backlog.accept(run);
    this.runtime.reporter.added(run);
    return run;
  }

  /** In tests a durable task runs here, and its transaction means nothing. */
  #refuseTransaction({ name, isDurable }: TaskDefinition): void {
    if (isDurable && this.#mode !== 'run') return;
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      `Expected \`transaction\` of with() to be used for a durable task on an engine, got task ${name}, which this process runs by itself.`,
    );
  }

  #definitionOnEngine(definition: TaskDefinition): TaskDefinition {
    let onEngine = this.#onEngine.get(definition);
    if (onEngine === undefined) {
      onEngine = { ...definition, executor: 'engine' };
      this.#onEngine.set(definition, onEngine);
    }
    return onEngine;
  }

  #sayWithoutEngine(name: string): void {
    if (this.#hasSaidWithoutEngine) return;
    this.#hasSaidWithoutEngine = true;
    this.runtime.reporter.withoutEngine(name);
  }

  /** Runs a task that an engine has sent; it settles as one of this process. */
  #runWork(definition: TaskDefinition, { id, args, context, attempt, retryInMs, timeout }: Work): WorkRun {
    const { name } = definition;
    this.runtime.backlog.assertRoom(name, this.#isAddedByOwnTask);
    const policy = this.#policyOf(definition, undefined);
    const run = this.#admit(
      new WorkRun(
        {
          definition,
          name,
          policy: { ...policy, timeout },
          args,
          context,
          owner: this,
          id,
          attemptsBefore: attempt - 1,
        },
        retryInMs,
      ),
    );
    run.start();
    return run;
  }

  /** Adds a task that has no response: it starts at once. */
  addDetached(task: unknown, args: readonly unknown[], options?: AddOptions): TaskRun {
    const run = this.accept(this, task, args, options);
    if (this.#mode === 'record') run.skip();
    else if (!run.isSettled) run.start();
    return run;
  }

  resolveWith(options: AddOptions): AddOptions {
    return resolveAddOptions(options);
  }

  /** Whether the code that is running now belongs to a task that was added to `owner`, and has not settled. */
  isAddedByTaskOf(owner: Owner): boolean {
    return RunningTask.ownerOfUnsettled(taskContext.getStore()) === owner;
  }

  readonly #isAddedByOwnTask = (): boolean => {
    const owner = RunningTask.ownerOfUnsettled(taskContext.getStore());
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
      const base = definition.isDurable ? this.options.durable.policy : this.options.policy;
      policy = mergePolicy(base, definition.options);
      this.#policies.set(definition, policy);
    }
    return policy;
  }

  #contextFor(req: IncomingMessage | undefined, clone: Clone | undefined): unknown {
    const { context } = this.options;
    // A task without a request was most likely added by a task that had one.
    const isInherited = req === undefined || context === undefined;
    const value = isInherited ? currentTask()?.context : askForContext(context, req);
    if (clone === undefined) return value;
    return snapshot(value, isInherited ? 'the `context` of the task that added it' : 'what `context` returned', clone);
  }
}

function refuseRetryIf(name: string, options: AddOptions | undefined): void {
  if (options?.retry?.retryIf === undefined) return;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_OPTION',
    `Expected \`retry.retryIf\` of task ${name} to be given to durable(), got it in with(): a function cannot go to the worker that would ask it.`,
  );
}

function askForContext(context: NonNullable<ResolvedOptions['context']>, req: IncomingMessage): unknown {
  try {
    return context(req);
  } catch (thrown) {
    throw hookError('`context`', thrown);
  }
}

/** Modules are for durable tasks that a worker runs on its event loop. */
function callOf({ target }: Attempt): ReturnType<Resolve> {
  return target.kind === 'function' ? target.call : loadHere(target);
}
