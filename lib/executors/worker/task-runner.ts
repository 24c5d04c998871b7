/** Runs one task at a time on the other side, thread or process. It never throws, and it answers once for each task. */
import { RunningTask, taskContext } from '../../current-task.ts';
import { type Movable, transferListOf } from '../../move.ts';
import type { Callable } from '../../task.ts';
import { toError } from '../../to-error.ts';
import { decodeError, encodeError } from '../error-codec.ts';
import { loadedFunction, loadFunction } from '../task-module.ts';
import type { CancelMessage, Order, Reply, Result, TaskMessage } from '../wire.ts';
import { isLargerThan, withoutForeignBytes } from './result-size.ts';

/** The way back to the main thread. Throws for a value that cannot go it. */
type Send = (reply: Reply, transferList?: readonly Movable[]) => void;

/** Takes what a task came to. Throws for a value that cannot go its way. */
type End = (result: Result, ranMs: number | undefined, transferList?: readonly Movable[]) => void;

/** A task that runs here, and how to fail it from outside its own promise. */
interface Running {
  readonly task: RunningTask;
  readonly fail: (thrown: unknown) => void;
}

export class TaskRunner {
  readonly #send: Send;
  #running: Running | undefined;
  #maxResultSize = Number.POSITIVE_INFINITY;

  constructor(send: Send) {
    this.#send = send;
    // What reaches these was thrown outside every promise that is awaited. The async context tells which task it belongs to.
    process.on('uncaughtException', (thrown) => this.#blame(thrown));
    process.on('unhandledRejection', (thrown) => this.#blame(thrown));
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  readonly receive = (order: Order): void => {
    if ('cancel' in order) this.#cancel(order);
    else if ('maxResultSize' in order) this.#maxResultSize = order.maxResultSize;
    else this.run(order, this.#answer);
  };

  // Not spread into a new object: on Node 20 one that is spread and then gets a property takes a microsecond.
  readonly #answer: End = (result, ranMs, transferList) => this.#send(Object.assign(result, { ranMs }), transferList);

  /** To be called when no other runs. */
  run(message: TaskMessage, onEnd: End): void {
    const task = new RunningTask(message, message.attempt);
    const loaded = loadedFunction(message.module, message.export);
    const startedAt = performance.now();
    const end = (result: Result, transferList?: readonly Movable[]): void => {
      // Already answered: an error in a timer of its own has failed the task, and now it has returned as well.
      if (this.#running?.task !== task) return;
      onEnd(result, loaded === undefined ? undefined : performance.now() - startedAt, transferList);
      this.#running = undefined;
    };
    const fail = (thrown: unknown): void => end({ kind: 'error', error: encodeError(thrown) });
    const succeed = (returned: unknown): void => {
      try {
        this.#assertSize(returned);
        const value = withoutForeignBytes(returned);
        end({ kind: 'value', value }, transferListOf([value]));
      } catch (thrown) {
        end({ kind: 'value-lost', reason: toError(thrown).message });
      }
    };
    this.#running = { task, fail };
    taskContext.run(task, call, message, task, loaded).then(succeed, fail);
  }

  /** A result that is too large for the server would end it, and so is not sent. */
  #assertSize(value: unknown): void {
    const limit = this.#maxResultSize;
    if (limit === Number.POSITIVE_INFINITY || !isLargerThan(limit, value)) return;
    throw new RangeError(`It takes more than the ${limit} bytes that \`maxResultSize\` allows.`);
  }

  #cancel({ cancel, attempt, reason }: CancelMessage): void {
    const task = this.#running?.task;
    if (task?.id === cancel && task.attempt === attempt) task.abort(toError(decodeError(reason)));
  }

  #blame(thrown: unknown): void {
    const guilty = taskContext.getStore();
    if (this.#running !== undefined && this.#running.task === guilty) {
      this.#running.fail(thrown);
      return;
    }
    const task = guilty === undefined ? undefined : { id: guilty.id, name: guilty.name };
    this.#send({ kind: 'stray', task, error: encodeError(thrown) });
  }
}

async function call(
  { module, export: name, args }: TaskMessage,
  task: RunningTask,
  loaded: Callable | undefined,
): Promise<unknown> {
  const run = loaded ?? (await loadFunction(module, name));
  // It may have been given up while its module was loaded: its code must not begin.
  if (task.abortReason !== undefined) throw task.abortReason;
  return run(...args);
}
