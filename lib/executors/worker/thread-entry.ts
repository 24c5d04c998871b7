/** The other side of a thread. */

import { MessageChannel, parentPort } from 'node:worker_threads';
import type { Movable } from '../../move.ts';
import { BatchLedger } from '../batch-ledger.ts';
import { Receipt } from '../receipt.ts';
import { HELLO, type ThreadOrder, type ThreadReply } from '../wire.ts';
import { BatchRunner } from './batch-runner.ts';
import { TaskRunner } from './task-runner.ts';

const { port1: port, port2: portOfMain } = new MessageChannel();
const receipt = new Receipt();
parentPort?.postMessage({ [HELLO]: true, port: portOfMain, receipt: receipt.memory }, [portOfMain]);

process.once('exit', () => receipt.leave());

function send(reply: ThreadReply, transferList?: readonly Movable[]): void {
  port.postMessage(reply, transferList);
}

const runner = new TaskRunner(send);
let batches: BatchRunner | undefined;

// While a task runs, none other is sent: what could not be read was no more than a request to stop.
port.on('messageerror', ({ message: reason }) => {
  if (!runner.isRunning) send({ kind: 'unreadable', reason });
});

port.on('message', (order: ThreadOrder) => {
  if ('module' in order || 'targets' in order) receipt.give();
  if ('ledger' in order) batches = new BatchRunner(runner, new BatchLedger(order.ledger), send);
  else if ('targets' in order) void batches?.run(order);
  else runner.receive(order);
});
