// An Express server that stages a task in its handler and releases it when the response has ended, and a worker in a process of
// its own: by this package, or by the engine's library alone.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { engineAt, rawAt } from './engine-kinds.mjs';
import { tasks } from './engine-tasks.mjs';
import { interleave, pick } from './interleave.mjs';
import { quantile } from './statistics.mjs';

const URL_VARIABLE = 'BENCH_ENGINE_URL';
const CONCURRENT = 25;
/** Of a row of few requests: some seconds. */
const WARM_UP = 200;
const LONGEST_WAIT = 20_000;
const microseconds = (milliseconds) => milliseconds * 1_000;

/** What happens to the tasks that are under way, by their keys. */
function openLedger() {
  const underWay = new Map();
  let taken = { accepted: [], released: [], started: [] };
  return {
    finished: (key) => underWay.set(key, performance.timeOrigin + performance.now()),
    started({ key, at }) {
      const finishedAt = underWay.get(key);
      underWay.delete(key);
      if (finishedAt !== undefined) taken.started.push(microseconds(at - finishedAt));
    },
    took: (what, since) => taken[what].push(microseconds(performance.now() - since)),
    take() {
      const result = taken;
      taken = { accepted: [], released: [], started: [] };
      return result;
    },
    isEmpty: () => underWay.size === 0,
  };
}

/** Sends a request and resolves when it was answered. */
function poster(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENT });
  return () =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, method: 'POST', agent }, (res) => {
        res.resume().once('end', resolve);
        if (res.statusCode !== 202) reject(new Error(`A request was answered with ${res.statusCode}.`));
      });
      sent.once('error', reject).end();
    });
}

async function openSide(side, mount) {
  const url = process.env[URL_VARIABLE];
  const ledger = openLedger();
  const worker = fork(fileURLToPath(new URL('engine-worker.mjs', import.meta.url)), [side, url]);
  await once(worker, 'message');
  worker.on('message', ledger.started);

  const app = express();
  await mount(app, url, ledger);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const post = poster(server.address().port);

  async function run({ milliseconds, clients }) {
    ledger.take();
    const beganAt = performance.now();
    let operations = 0;
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (performance.now() < beganAt + milliseconds) {
          await post();
          operations += 1;
        }
      }),
    );
    const deadline = performance.now() + LONGEST_WAIT;
    while (!ledger.isEmpty()) {
      if (performance.now() > deadline) throw new Error('Tasks were released, and no worker has started them.');
      await new Promise(setImmediate);
    }
    const seconds = (performance.now() - beganAt) / 1_000;
    const { accepted, released, started } = ledger.take();
    const sample = { operations, rate: operations / seconds };
    for (const [name, values] of Object.entries({ accepted, released, started })) {
      sample[name] = quantile(values, 0.5);
      sample[`${name}P99`] = quantile(values, 0.99);
    }
    return sample;
  }
  /** How late timers of 1 ms are in this process. */
  async function lateness({ milliseconds }) {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    await delay(milliseconds);
    delays.disable();
    ledger.take();
    return delays.percentile(99) / 1_000;
  }
  return { run, lateness, port: () => server.address().port };
}

export const ours = () =>
  openSide('ours', async (app, url, ledger) => {
    const background = backgroundTasks({ engine: await engineAt(url), logger: false });
    await background.ready();
    app.use(background);
    app.post('/', async (_req, res) => {
      const key = randomUUID();
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

export const rival = () =>
  openSide('raw', async (app, url, ledger) => {
    const producer = await (await rawAt(url)).openProducer(url);
    app.post('/', async (_req, res) => {
      const key = randomUUID();
      const addedAt = performance.now();
      const held = await producer.stage(key);
      ledger.took('accepted', addedAt);
      res.once('finish', () => {
        const finishedAt = performance.now();
        ledger.finished(key);
        producer.release(held).then(() => ledger.took('released', finishedAt));
      });
      res.status(202).end();
    });
  });

/** With a server of the engine, which sides find by their environment. */
async function on(startServer, body) {
  const server = await startServer();
  process.env[URL_VARIABLE] = server.url;
  try {
    return await body();
  } finally {
    await server.end();
  }
}

/** How late the event loop of a web process is, with as many requests a second as its side says. They come from this process. */
export function measureLoop(row, { rounds }, startServer) {
  async function measure(side, milliseconds) {
    const [rate, post] = [await side.call('rate'), poster(await side.call('port'))];
    const measured = side.call('lateness', { milliseconds });
    const posts = [];
    const timer = rate > 0 ? setInterval(() => posts.push(post()), 1_000 / rate) : undefined;
    const p99 = await measured;
    clearInterval(timer);
    await Promise.all(posts);
    return { operations: posts.length + 1, p99 };
  }
  return on(startServer, async () => {
    const settings = { rounds: Math.ceil(rounds / 4), roundMs: 1_000, warmUp: WARM_UP };
    const samples = await interleave(row, settings, measure);
    return [{ what: 'delay of the event loop, p99', unit: 'µs', ...pick(samples, 'p99') }];
  });
}

/** @param startServer `() => { url, end }` */
export function measureEngine(row, settings, startServer) {
  return on(startServer, async () => {
    const one = await interleave(row, { ...settings, warmUp: 200 }, (side, milliseconds) =>
      side.call('run', { milliseconds, clients: 1 }),
    );
    const many = await interleave(row, { ...settings, warmUp: 1_000 }, (side, milliseconds) =>
      side.call('run', { milliseconds, clients: CONCURRENT }),
    );
    const figure = (what, key) => ({ what, unit: 'µs', toReach: { atMost: 1.15 }, ...pick(one, key) });
    return [
      figure('add → accepted, p50', 'accepted'),
      figure('add → accepted, p99', 'acceptedP99'),
      figure('response end → released, p50', 'released'),
      figure('response end → released, p99', 'releasedP99'),
      figure('response end → started by a worker, p50', 'started'),
      figure('response end → started by a worker, p99', 'startedP99'),
      {
        what: `requests a second, ${CONCURRENT} at once, until all of their tasks have started`,
        unit: '/s',
        isInverse: true,
        toReach: { atMost: 1.15 },
        ...pick(many, 'rate'),
      },
    ];
  });
}
