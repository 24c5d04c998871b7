/** The other side of a thread: the one file that Piscina loads. */
import { MessageChannel, parentPort } from 'node:worker_threads';
import { type Answer, type CancelMessage, HELLO, type TaskMessage, type ThreadMessage } from '../wire.ts';
import { TaskRunner } from './task-runner.ts';

const { port1: control, port2: controlOfMain } = new MessageChannel();
parentPort?.postMessage({ [HELLO]: true, control: controlOfMain }, [controlOfMain]);

const runner = new TaskRunner<Answer>({
  sendValue(value, transferList) {
    control.postMessage({ kind: 'value', value } satisfies ThreadMessage, transferList);
    return { kind: 'value-on-control-port' };
  },
  sendStray: (message) => control.postMessage(message satisfies ThreadMessage),
});
control.on('message', (message: CancelMessage) => runner.cancel(message));

/** What Piscina calls first: by then this file has loaded. */
export function warmUp(): void {}

/** What Piscina calls for each task. */
export default function runTask(message: TaskMessage): Promise<Answer> {
  return runner.run(message);
}
