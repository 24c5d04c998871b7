/** `add`: a task is taken on, or refused in the caller's code. */
import type { IncomingMessage } from 'node:http';
import { currentOwner, currentTask } from './current-task.ts';
import { checkDurableAddOptions } from './durable/add-options.ts';
import { DurableRun, WorkRun } from './durable/durable-run.ts';
import type { DurableTasks } from './durable/durable-tasks.ts';
import { keptInput, stagedTask } from './durable/envelope.ts';
import { HandedTask } from './durable/handed-task.ts';
import type { Work } from './durable/work.ts';
import { optionError } from './errors.ts';
import { type WorkerKind, workerKindOf } from './executor-names.ts';
import { askNow } from './hooks.ts';
import { forgetMoves } from './move.ts';
import type { Mode } from './options/middleware.ts';
import { DEFAULT_POLICY, type Policy } from './options/policy.ts';
import type { ResolvedOptions } from './options/resolved.ts';
import type { AddOptions } from './options/task.ts';
import type { Owner } from './owner.ts';
import { Policies } from './policies.ts';
import { TaskRun } from './run.ts';
import type { Runtime } from './runtime.ts';
import { snapshot, snapshotArguments } from './snapshot.ts';
import { definitionOf, type TaskDefinition } from './task.ts';
import { durableId } from './task-id.ts';

/** The instance that takes tasks on. */
interface Host extends Owner<Runtime> {
  readonly options: ResolvedOptions;
  readonly mode: Mode;
  /** Where durable tasks go; none without an engine, and in tests. */
  readonly durable: DurableTasks | undefined;
}

/** What is added, and by whom. */
interface Addition {
  readonly owner: Owner<Runtime>;
  readonly definition: TaskDefinition;
  readonly name: string;
  readonly args: readonly unknown[];
  /** What `with` was given. */
  readonly options: AddOptions | undefined;
  /** The request that `context` is asked about; none for a task without a response. */
  readonly req: IncomingMessage | undefined;
}

/** A task that was added while a test watched. */
export interface WatchedTask {
  readonly task: unknown;
  readonly run: TaskRun;
}

/** The hand-over is never retried: a caller who was told that it failed may have added the task again already. */
const HAND_OVER_POLICY = { timeout: Number.POSITIVE_INFINITY, retry: DEFAULT_POLICY.retry } as const;

export class Admission {
  /** Tests set it to see what is added. In production nobody does, and nothing is kept. */
  onAdded: ((watched: WatchedTask) => void) | undefined;
  readonly #host: Host;
  readonly #policies: Policies;
  #hasSaidWithoutEngine = false;

  constructor(host: Host) {
    this.#host = host;
    this.#policies = new Policies(host.options);
  }

  /** Takes a task on, or throws in the caller's code. */
  accept(
    owner: Owner<Runtime>,
    task: unknown,
    args: readonly unknown[],
    options?: AddOptions,
    req?: IncomingMessage,
  ): TaskRun {
    try {
      const definition = definitionOf(task);
      const name = options?.name ?? definition.name;
      this.#host.runtime.backlog.assertRoom(name, this.#isAddedByOwnTask);
      const addition: Addition = { owner, definition, name, args, options, req };
      const run = definition.isDurable ? this.#acceptDurable(addition) : this.#acceptLocal(addition);
      this.onAdded?.({ task, run });
      return run;
    } finally {
      forgetMoves(args);
    }
  }

  /** Takes on what an engine has sent; it settles as a task of this process. */
  acceptWork(definition: TaskDefinition, { id, args, context, attempt, retryInMs, timeout }: Work): WorkRun {
    const { name } = definition;
    this.#host.runtime.backlog.assertRoom(name, this.#isAddedByOwnTask);
    const policy = { ...this.#policyOf(definition), timeout };
    const task = { definition, name, policy, args, context, owner: this.#host, id, attemptsBefore: attempt - 1 };
    return this.#admit(new WorkRun(task, retryInMs));
  }

  /** From here on it is counted, and will settle. */
  #admit<Run extends TaskRun>(run: Run): Run {
    const { backlog, reporter } = this.#host.runtime;
    backlog.accept(run);
    reporter.added(run);
    return run;
  }

  /** One that this process runs. */
  #acceptLocal({ owner, definition: defined, name, args, options, req }: Addition): TaskRun {
    if (options?.transaction !== undefined) this.#refuseTransaction(defined);
    const definition = options?.executor === undefined ? defined : definitionIn(options.executor, defined);
    const worker = workerKindOf(definition.executor);
    const policy = this.#policyOf(defined, options);
    // Before the snapshot, which empties moved buffers: if `context` throws, the caller must still have them.
    const context = this.#contextFor(req, worker);
    const given = worker === undefined ? args : snapshotArguments(args, name, worker, policy.retry.attempts);
    return this.#admit(new TaskRun({ definition, name, policy, args: given, context, owner }));
  }

  #acceptDurable(addition: Addition): TaskRun {
    // With or without an engine, so that what is written without one runs with one.
    checkDurableAddOptions(addition.definition.name, addition.options);
    const { durable, mode, options } = this.#host;
    if (mode === 'run' && durable !== undefined) return this.#handOver(durable, addition);
    if (mode === 'run') this.#sayWithoutEngine(addition.name);
    return options.engine === undefined ? this.#acceptLocal(addition) : this.#rehearse(addition);
  }

  #handOver(durable: DurableTasks, { owner, definition, name, args, options, req }: Addition): TaskRun {
    const { backlog, idPrefix } = this.#host.runtime;
    const limits = this.#host.options.durable;
    const policy = this.#policyOf(definition, options);
    const transaction = options?.transaction;
    if (transaction !== undefined) durable.assertTransactions(name);
    const input = keptInput(name, args, this.#contextFor(req, undefined), limits);
    const run = new DurableRun({
      definition,
      name,
      policy: { ...policy, ...HAND_OVER_POLICY },
      args: input.args,
      context: input.context,
      owner,
      id: durableId(idPrefix, backlog.nextNumber),
    });
    // First, so that its handle has `accepted` from the start: a listener of `added` may cancel it.
    durable.handOver.take(new HandedTask(run, stagedTask(run, policy), input.bytes, transaction));
    return this.#admit(run);
  }

  /** In a test a durable task runs in this process. Arguments that its engine would refuse are refused here too. */
  #rehearse({ owner, definition, name, args, options, req }: Addition): TaskRun {
    if (options?.transaction !== undefined) this.#refuseTransaction(definition);
    const input = keptInput(name, args, this.#contextFor(req, undefined), this.#host.options.durable);
    const policy = this.#policyOf(definition, options);
    return this.#admit(new TaskRun({ definition, name, policy, args: input.args, context: input.context, owner }));
  }

  /** A transaction needs an engine. In tests there is none, and that of a durable task is ignored. */
  #refuseTransaction({ name, isDurable }: TaskDefinition): void {
    if (isDurable && this.#host.mode !== 'run') return;
    throw optionError(
      `Expected \`transaction\` of with() to be used for a durable task on an engine, got task ${name}, which this process runs by itself.`,
    );
  }

  #sayWithoutEngine(name: string): void {
    if (this.#hasSaidWithoutEngine) return;
    this.#hasSaidWithoutEngine = true;
    this.#host.runtime.reporter.notices.withoutEngine(name);
  }

  readonly #isAddedByOwnTask = (): boolean => currentOwner()?.runtime === this.#host.runtime;

  #policyOf(definition: TaskDefinition, options?: AddOptions): Policy {
    const policy = this.#policies.of(definition, options);
    return this.#host.mode === 'record' ? { ...policy, when: () => false } : policy;
  }

  #contextFor(req: IncomingMessage | undefined, worker: WorkerKind | undefined): unknown {
    const { context } = this.#host.options;
    // A task without a request was most likely added by a task that had one.
    const isInherited = req === undefined || context === undefined;
    const value = isInherited ? currentTask()?.context : askNow('`context`', 'answer at once', () => context(req));
    if (worker === undefined) return value;
    return snapshot(value, isInherited ? 'the `context` of the task that added it' : 'what `context` returned', worker);
  }
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for a function: it cannot leave this thread. */
function definitionIn(executor: WorkerKind, definition: TaskDefinition): TaskDefinition {
  if (definition.target.kind === 'module') return { ...definition, executor };
  throw optionError(
    `Expected \`executor\` of with() to be used for a task of blocking(), got task ${definition.name}, a function: it cannot be sent to a ${executor}. Export it from a module.`,
  );
}
