/** The other side of a child process: the file that is forked. */
import { Worker } from 'node:worker_threads';
import { type ProcessMessage, REPLY, type ReadyMessage, type Reply } from '../wire.ts';
import { TaskRunner } from './task-runner.ts';

function send(message: Reply | ReadyMessage): void {
  // A parent that is gone cannot be told; the channel's end is handled below.
  process.send?.({ [REPLY]: message } satisfies ProcessMessage, undefined, undefined, () => {});
}

const runner = new TaskRunner(send);
process.on('message', runner.receive);

// No child outlives its parent. While the event loop turns, the end of the channel tells of the parent's.
process.on('disconnect', () => process.exit());

// While it does not (an endless loop), only another thread can look. It is light: no module, no ports in use.
const WATCH_INTERVAL = 500;
const watch = new Worker(
  `const { workerData: parent } = require('node:worker_threads');
   setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, ${WATCH_INTERVAL});`,
  {
    eval: true,
    // Asked before the process says that it is ready: by then the parent lives. The thread's own first look may be too late.
    workerData: process.ppid,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 },
  },
);
watch.unref();

send({ kind: 'ready' });
