// An Express server that stages a task in its handler and releases it when the response has ended, and a worker in a process of
// its own: by this package, or by the engine's library alone.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import onFinished from 'on-finished';
import { engineAt, rawAt } from './engine-kinds.mjs';
import { openLedger } from './engine-ledger.mjs';
import { URL_VARIABLE } from './engine-servers.mjs';
import { tasks } from './engine-tasks.mjs';
import { mainThreadCpu } from './main-thread.mjs';

async function openSide(side, mount) {
  // Two sides of a row may use the same library: each needs a queue of its own.
  const place = { url: process.env[URL_VARIABLE], queue: `bench-${process.pid}` };
  const ledger = openLedger();
  const worker = fork(fileURLToPath(new URL('engine-worker.mjs', import.meta.url)), [side, JSON.stringify(place)]);
  await once(worker, 'message');
  worker.on('message', (message) => {
    if ('cpu' in message) worker.emit('cpu', message.cpu);
    else ledger.started(message);
  });

  const app = express();
  await mount(app, place, ledger);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: () => server.address().port,
    take: () => ledger.take(),
    /** Microseconds that the main threads of the server and of its worker have used. */
    async cpu() {
      worker.send('cpu');
      const [ofWorker] = await once(worker, 'cpu');
      return { server: mainThreadCpu(), worker: ofWorker };
    },
    /** How late timers of 1 ms are in this process. */
    async lateness({ milliseconds }) {
      const delays = monitorEventLoopDelay({ resolution: 1 });
      delays.enable();
      await delay(milliseconds);
      delays.disable();
      return { p50: delays.percentile(50) / 1_000, p99: delays.percentile(99) / 1_000, max: delays.max / 1_000 };
    },
  };
}

export const ours = () =>
  openSide('ours', async (app, place, ledger) => {
    const background = backgroundTasks({ engine: await engineAt(place), logger: false });
    await background.ready();
    app.use(background);
    app.post('/', async (_req, res) => {
      const key = randomUUID();
      ledger.added(key);
      const addedAt = performance.now();
      const handle = res.locals.backgroundTasks.add(tasks.note, key);
      await handle.accepted;
      ledger.took('accepted', addedAt);
      res.once('finish', () => {
        const finishedAt = performance.now();
        ledger.finished(key);
        handle.settled.then(() => ledger.took('released', finishedAt));
      });
      res.status(202).end();
    });
  });

/** The library by hand: how it does what the sides below differ in. */
function byHand({ middleware, copyOf, more, inTime, whenFinished }) {
  return openSide('raw', async (app, place, ledger) => {
    const producer = await (await rawAt(place)).openProducer(place);
    if (middleware !== undefined) app.use(middleware);
    app.post('/', async (_req, res) => {
      const key = randomUUID();
      ledger.added(key);
      const addedAt = performance.now();
      const held = await inTime(producer.stage(copyOf(key), more));
      ledger.took('accepted', addedAt);
      whenFinished(res, () => {
        const finishedAt = performance.now();
        ledger.finished(key);
        inTime(producer.release(held)).then(() => ledger.took('released', finishedAt));
      });
      res.status(202).end();
    });
  });
}

/** Express alone: requests as the other sides have them, and no task. */
export const bare = () => openSide('raw', (app) => app.post('/', (_req, res) => res.status(202).end()));

const asItIs = (value) => value;

export const rival = () =>
  byHand({ copyOf: asItIs, inTime: asItIs, whenFinished: (res, listener) => res.once('finish', listener) });

/** How long the careful side waits for the engine, as long as this package does by default. */
const ACCEPT_TIMEOUT = 5_000;

/** With what this package promises beyond that: a copy that is JSON, a limit for each call, a release also when the client hangs up. */
export const careful = () =>
  byHand({
    middleware: (_req, _res, next) => next(),
    copyOf: (key) => JSON.parse(JSON.stringify([key]))[0],
    more: { priority: 1 },
    inTime: answeredInTime,
    whenFinished: onFinished,
  });

function answeredInTime(answer) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, ACCEPT_TIMEOUT, new Error('The engine did not answer in time.'));
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
