/** Runs one task at a time on the other side, thread or process. It never throws, and it answers once for each task. */
import type { Transferable } from 'node:worker_threads';
import { isPlain } from '../../cloneable.ts';
import { RunningTask, taskContext } from '../../current-task.ts';
import { transferListOf } from '../../move.ts';
import { toError } from '../../outcome.ts';
import { decodeError, encodeError } from '../error-codec.ts';
import type { CancelMessage, DeliveredAnswer, StrayMessage, TaskMessage } from '../wire.ts';
import { loadedFunction, loadFunction } from './task-module.ts';

/** The way back to the main thread. */
export interface Line<Answer> {
  /** Sends a value that may not cross; throws where it does not. Returns what is to be answered instead of the value. */
  sendValue(value: unknown, transferList: readonly Transferable[]): Answer;
  sendStray(message: StrayMessage): void;
}

/** A task that runs here, and how to fail it from outside its own promise. */
interface Running {
  readonly task: RunningTask;
  readonly fail: (thrown: unknown) => void;
}

export class TaskRunner<Answer> {
  readonly #line: Line<Answer>;
  #running: Running | undefined;
  /** The last cancel that found no such task running: what carries it keeps no common order with what carries tasks. */
  #early: CancelMessage | undefined;

  constructor(line: Line<Answer>) {
    this.#line = line;
    // Whatever reaches these was thrown outside every promise that somebody waits for. The async context tells whose it was.
    process.on('uncaughtException', (thrown) => this.#blame(thrown));
    process.on('unhandledRejection', (thrown) => this.#blame(thrown));
  }

  run(message: TaskMessage): Promise<Answer | DeliveredAnswer> {
    const task = new RunningTask(message.id, message.name, message.attempt, message.context);
    return new Promise((resolve) => {
      const answer = (result: Answer | DeliveredAnswer): void => {
        if (this.#running?.task === task) this.#running = undefined;
        resolve(result);
      };
      const fail = (thrown: unknown): void => answer({ kind: 'error', error: encodeError(thrown) });
      this.#running = { task, fail };
      if (this.#early !== undefined && isMeant(task, this.#early)) stop(task, this.#early);
      this.#early = undefined;
      taskContext.run(task, call, message).then((value) => {
        // A task that an error of its own timer has failed may still return: its value would pass for the next task's.
        if (this.#running?.task === task) answer(this.#answerOf(value));
      }, fail);
    });
  }

  cancel(message: CancelMessage): void {
    if (this.#running !== undefined && isMeant(this.#running.task, message)) stop(this.#running.task, message);
    else this.#early = message;
  }

  #blame(thrown: unknown): void {
    const guilty = taskContext.getStore();
    if (this.#running !== undefined && this.#running.task === guilty) {
      this.#running.fail(thrown);
      return;
    }
    const task = guilty === undefined ? undefined : { id: guilty.id, name: guilty.name };
    this.#line.sendStray({ kind: 'stray', task, error: encodeError(thrown) });
  }

  #answerOf(value: unknown): Answer | DeliveredAnswer {
    if (isPlain(value)) return { kind: 'value', value };
    try {
      return this.#line.sendValue(value, transferListOf([value]));
    } catch (thrown) {
      return { kind: 'value-lost', reason: toError(thrown).message };
    }
  }
}

async function call({ module, export: name, args }: TaskMessage): Promise<unknown> {
  const run = loadedFunction(module, name) ?? (await loadFunction(module, name));
  return run(...args);
}

function isMeant(task: RunningTask, message: CancelMessage): boolean {
  return task.id === message.cancel && task.attempt === message.attempt;
}

function stop(task: RunningTask, { reason }: CancelMessage): void {
  task.abort(toError(decodeError(reason)));
}
