/** The other side of the thread pool: the one file that Piscina loads. It never throws, and it answers once for each task. */
import { MessageChannel, parentPort } from 'node:worker_threads';
import { isPlain } from '../../cloneable.ts';
import { RunningTask, taskContext } from '../../current-task.ts';
import { transferListOf } from '../../move.ts';
import { toError } from '../../outcome.ts';
import { decodeError, encodeError } from '../error-codec.ts';
import { type Answer, type CancelMessage, HELLO, type TaskMessage, type ThreadMessage } from '../wire.ts';
import { loadedFunction, loadFunction } from './task-module.ts';

/** A task that runs in this thread, and how to fail it from outside its own promise. */
interface Running {
  readonly task: RunningTask;
  readonly fail: (thrown: unknown) => void;
}

let running: Running | undefined;

const { port1: control, port2: controlOfMain } = new MessageChannel();
parentPort?.postMessage({ [HELLO]: true, control: controlOfMain }, [controlOfMain]);

/** The last cancel that found no such task running: the ports keep no common order, so its task may yet come. */
let early: CancelMessage | undefined;

control.on('message', (message: CancelMessage) => {
  if (running !== undefined && isMeant(running.task, message)) stop(running.task, message);
  else early = message;
});

function isMeant(task: RunningTask, message: CancelMessage): boolean {
  return task.id === message.cancel && task.attempt === message.attempt;
}

function stop(task: RunningTask, { reason }: CancelMessage): void {
  task.abort(toError(decodeError(reason)));
}

// Whatever reaches these was thrown outside every promise that somebody waits for. The async context tells whose it was.
process.on('uncaughtException', blame);
process.on('unhandledRejection', blame);

function blame(thrown: unknown): void {
  const guilty = taskContext.getStore();
  if (running !== undefined && running.task === guilty) {
    running.fail(thrown);
    return;
  }
  const task = guilty === undefined ? undefined : { id: guilty.id, name: guilty.name };
  tellMain({ kind: 'stray', task, error: encodeError(thrown) });
}

function tellMain(message: ThreadMessage): void {
  control.postMessage(message);
}

/** What Piscina calls first: by then this file has loaded. */
export function warmUp(): void {}

/** What Piscina calls for each task. */
export default function runTask(message: TaskMessage): Promise<Answer> {
  const task = new RunningTask(message.id, message.name, message.attempt, message.context);
  return new Promise<Answer>((resolve) => {
    const answer = (result: Answer): void => {
      if (running?.task === task) running = undefined;
      resolve(result);
    };
    const fail = (thrown: unknown): void => answer({ kind: 'error', error: encodeError(thrown) });
    running = { task, fail };
    if (early !== undefined && isMeant(task, early)) stop(task, early);
    early = undefined;
    taskContext.run(task, call, message).then((value) => {
      // A task that an error of its own timer has failed may still return: its value would pass for the next task's.
      if (running?.task === task) answer(answerOf(value));
    }, fail);
  });
}

async function call({ module, export: name, args }: TaskMessage): Promise<unknown> {
  const run = loadedFunction(module, name) ?? (await loadFunction(module, name));
  return run(...args);
}

function answerOf(value: unknown): Answer {
  if (isPlain(value)) return { kind: 'value', value };
  try {
    control.postMessage({ kind: 'value', value } satisfies ThreadMessage, transferListOf([value]));
    return { kind: 'value-on-control-port' };
  } catch (thrown) {
    return { kind: 'value-lost', reason: toError(thrown).message };
  }
}
