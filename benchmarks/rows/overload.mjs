import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';
import { compareOverload, OVERLOAD, TASK_MS, THREADS } from '../support/overload.mjs';
import { serve } from '../support/servers.mjs';

const MAX_BACKLOG = 100;

export const row = {
  title: '10 times the load that the threads can do',
  what: `Each request adds a blocking task of ${TASK_MS} ms with 1 KB of arguments. Requests come at 10 times the rate that ${THREADS} thread can handle, whether or not the server keeps up; \`maxBacklog\` is ${MAX_BACKLOG}. At the same time, 200 pings a second ask a route without a task. The surplus must get 503 with Retry-After, and every accepted task must complete: otherwise the row fails.`,
  rival: 'the same server without that load',
  others: { bare: 'bare Express, which answers as many requests with 202 and 503' },
  toReach: { atMost: 2 },
};

const { busyFor } = blocking(new URL('../tasks/busy.mjs', import.meta.url));
const data = new Uint8Array(1024).fill(1);
const SAMPLE_EVERY = 100;

/** An error handler, as every application has one: Express's own would log each refusal, which is not part of the measurement. */
function refuse(error, _req, res, next) {
  if (error.status !== 503) return next(error);
  res.status(503).set(error.headers).json({ message: error.message });
}

async function open(name) {
  const app = express();
  const background = backgroundTasks({ maxBacklog: MAX_BACKLOG, pool: { maxThreads: THREADS } });
  app.get('/ping', (_req, res) => void res.sendStatus(204));
  app.use(background);
  app.get('/task', (_req, res) => {
    res.locals.backgroundTasks.add(busyFor, TASK_MS, data);
    res.status(202).json({ message: 'Accepted' });
  });
  app.use(refuse);
  const { port } = await serve(app);

  let samples = [];
  let timer;
  const sample = () => {
    const { backlog, outcomes } = background.stats();
    samples.push({
      at: performance.now(),
      backlog: backlog.size,
      completed: outcomes.completed,
      rss: process.memoryUsage.rss(),
    });
  };
  return {
    port,
    name: () => name,
    limit: () => MAX_BACKLOG,
    sample() {
      samples = [];
      sample();
      timer = setInterval(sample, SAMPLE_EVERY);
    },
    samples() {
      clearInterval(timer);
      sample();
      return samples;
    },
    /** When nothing is left to do: how many tasks were accepted so far, and how many completed. */
    async drained() {
      await background.idle();
      const { added, outcomes } = background.stats();
      return { added, completed: outcomes.completed };
    },
  };
}

export const ours = () => open('ours');
export const rival = () => open('rival');

/** What the same requests cost without tasks: the same share of them is accepted as the tasks allow on the other side. */
export async function bare() {
  const app = express();
  app.get('/ping', (_req, res) => void res.sendStatus(204));
  let asked = 0;
  app.get('/task', (_req, res, next) => {
    asked += 1;
    if (asked % OVERLOAD === 0) res.status(202).json({ message: 'Accepted' });
    else next(Object.assign(new Error('The server is busy.'), { status: 503, headers: { 'Retry-After': '1' } }));
  });
  app.use(refuse);
  const { port } = await serve(app);
  return {
    port,
    name: () => 'bare',
    limit: () => MAX_BACKLOG,
    sample() {},
    samples: () => [{ rss: process.memoryUsage.rss() }],
    drained: () => ({ added: 0, completed: 0 }),
  };
}

export const measure = (settings) => compareOverload(import.meta.url, settings);
