/** The other side of a child process: the file that is forked. */

import { serialize } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { isPlain } from '../plain.ts';
import { type Order, type ProcessMessage, type ProcessReply, REPLY } from '../wire.ts';
import { TaskRunner } from './task-runner.ts';

const sendToParent = process.send?.bind(process);
// Drops messages of a task module's own: the server has no use for them, and one that it cannot read would end it.
process.send = (...args: unknown[]): boolean => {
  const callback = args.findLast((arg) => typeof arg === 'function') as ((error: null) => void) | undefined;
  if (callback !== undefined) setImmediate(callback, null);
  return true;
};

function send(message: ProcessReply): void {
  // A parent that is gone cannot be told; the channel's end is handled below.
  sendToParent?.({ [REPLY]: message } satisfies ProcessMessage, undefined, undefined, () => {});
}

const runner = new TaskRunner((reply) => {
  const isSafe = reply.kind !== 'value' || isPlain(reply.value);
  send(isSafe ? reply : { kind: 'written', bytes: serialize(reply) });
});

let received = 0;
process.on('message', (order: Order) => {
  if ('module' in order) received += 1;
  runner.receive(order);
});
// A task that is still on its way when this process exits by itself has not begun, and may run in another.
process.on('exit', () => send({ kind: 'leaving', received }));

// Terminals and service managers send these to children as well. The parent decides what becomes of the tasks: it drains,
// and then ends this process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

// No child outlives its parent. While the event loop turns, the end of the channel shows that the parent is gone.
process.on('disconnect', () => process.exit());

// While it does not (an endless loop), only another thread can look. It is light: no module, no ports in use.
const WATCH_INTERVAL = 500;
const watch = new Worker(
  `const { workerData: parent } = require('node:worker_threads');
   setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, ${WATCH_INTERVAL});`,
  {
    eval: true,
    // Read before this process says that it is ready, while the parent lives. The thread's own first look may be too late.
    workerData: process.ppid,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 },
  },
);
watch.unref();

send({ kind: 'ready' });
