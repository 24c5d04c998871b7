/** The other side of a thread: the one file that Piscina loads. */
import { MessageChannel, parentPort } from 'node:worker_threads';
import { HELLO } from '../wire.ts';
import { TaskRunner } from './task-runner.ts';

const { port1: port, port2: portOfMain } = new MessageChannel();
parentPort?.postMessage({ [HELLO]: true, port: portOfMain }, [portOfMain]);

const runner = new TaskRunner((reply, transferList) => port.postMessage(reply, transferList));
port.on('message', runner.receive);

/** What Piscina calls, once: by then this file has loaded, and the port is on its way. */
export function warmUp(): void {}
