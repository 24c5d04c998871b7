/** One `backgroundTasks()`: what all of its tasks share, put together. */

import { Admission } from './admission.ts';
import { Backlog } from './backlog.ts';
import { CLONE_FOR_WORKER } from './clone.ts';
import { checkNotTaken, DurableTasks } from './durable/durable-tasks.ts';
import type { WorkHost } from './durable/work.ts';
import { type ExecutorName, WORKER_KINDS, type WorkerKind } from './executor-names.ts';
import { EventLoopExecutor, type Resolve } from './executors/event-loop.ts';
import type { Attempt, Executor } from './executors/executor.ts';
import { createInlineExecutor, loadHere } from './executors/inline.ts';
import { createProcessPool } from './executors/process-pool.ts';
import { createThreadPool } from './executors/thread-pool.ts';
import type { WorkerPool, WorkerPoolOptions } from './executors/worker-pool.ts';
import { Nesting } from './nesting.ts';
import type { Mode } from './options/middleware.ts';
import type { ResolvedOptions } from './options/resolved.ts';
import type { AddOptions } from './options/task.ts';
import type { Owner } from './owner.ts';
import { Reporter } from './reporter.ts';
import type { TaskRun } from './run.ts';
import type { Runtime } from './runtime.ts';
import { assertStack } from './stack.ts';
import { newIdPrefix } from './task-id.ts';
import { Deadlines } from './time/deadlines.ts';
import { InstanceWatch } from './watchdog/instance-watch.ts';

/** Stands in for the engine where there is none. No task is given to it. */
const NO_ENGINE: Executor = new EventLoopExecutor(callOf);

export class Instance implements Owner<Runtime> {
  readonly options: ResolvedOptions;
  readonly runtime: Runtime & { readonly executors: Record<ExecutorName, Executor> };
  readonly admission: Admission;
  /** The real executors of blocking tasks, whatever the mode. */
  readonly pools: Readonly<Record<WorkerKind, WorkerPool>>;
  /** What it tells the watchdog and hears from it; none where the watchdog is off. */
  readonly watch: InstanceWatch | undefined;
  /** Where durable tasks go; none without an engine, and in tests. */
  readonly durable: DurableTasks | undefined;
  #mode: Mode = 'run';

  constructor(options: ResolvedOptions) {
    this.options = options;
    const { watchdog, mode } = options;
    const engine = mode === 'run' ? options.engine : undefined;
    if (engine !== undefined) checkNotTaken(engine);
    const reporter = new Reporter(options);
    const onStray: WorkerPoolOptions['onStray'] = (task, error) => reporter.notices.stray(task, error);
    this.pools = createPools(options, onStray);
    this.watch = watchdog && new InstanceWatch(watchdog, this, options.logger !== false);
    const executors = { 'event-loop': new EventLoopExecutor(callOf, undefined, this.watch), ...this.pools };
    this.durable =
      engine && new DurableTasks({ ...options, engine }, reporter.notices, executors, this.#workHost(reporter));
    this.runtime = {
      executors: { ...executors, engine: this.durable?.handOver ?? NO_ENGINE },
      backlog: new Backlog(options.maxBacklog),
      reporter,
      deadlines: new Deadlines(),
      endings: new Nesting(),
      idPrefix: newIdPrefix(),
    };
    this.admission = new Admission(this);
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

  /** Adds a task that has no response: it starts at once. */
  addDetached(task: unknown, args: readonly unknown[], options?: AddOptions): TaskRun {
    assertStack();
    const run = this.admission.accept(this, task, args, options);
    if (this.#mode === 'record') run.skip();
    else if (!run.isSettled) run.start();
    return run;
  }

  #workHost(reporter: Reporter): WorkHost {
    return {
      run: (definition, work) => {
        const run = this.admission.acceptWork(definition, work);
        run.start();
        return run;
      },
      warn: (task, error) => reporter.warned(task, error),
      failed: (outcome) => reporter.failedWithoutRun(outcome),
    };
  }
}

/** Where one pool cannot start its workers, there will be no instance to end those of the other. */
function createPools(
  { pool, processes }: ResolvedOptions,
  onStray: WorkerPoolOptions['onStray'],
): Readonly<Record<WorkerKind, WorkerPool>> {
  const thread = createThreadPool(pool, onStray);
  try {
    return { thread, process: createProcessPool(processes, onStray) };
  } catch (thrown) {
    void thread.close(0);
    throw thrown;
  }
}

/** The target is a module only for durable tasks that a worker runs on its event loop. */
function callOf({ target }: Attempt): ReturnType<Resolve> {
  return target.kind === 'function' ? target.call : loadHere(target);
}
