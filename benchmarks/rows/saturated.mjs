import { availableParallelism } from 'node:os';
import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';
import { busyThreads, compareSaturated, TASK_MS } from '../support/saturated.mjs';
import { serve } from '../support/servers.mjs';

export const row = {
  title: 'requests while blocking tasks keep every thread busy',
  what: `200 pings a second ask a route without a task, while every thread always runs a blocking task of ${TASK_MS} ms and more tasks wait. Measured with the default pool, which leaves the event loop a core, and with a thread for every core.`,
  rival: 'the same server without tasks',
  toReach: { atMost: 1.5 },
};

const { busyFor } = blocking(new URL('../tasks/busy.mjs', import.meta.url));

async function open(pool, isBusy = true) {
  const background = backgroundTasks({ pool });
  const app = express();
  app.get('/ping', (_req, res) => void res.sendStatus(204));
  app.use(background);
  const threads = isBusy ? background.stats().executors.thread.maxThreads : 0;
  const busy = busyThreads(threads, async () => {
    const { state } = await background.add(busyFor, TASK_MS).settled;
    if (state !== 'completed') throw new Error(`Expected the task to complete, but it is ${state}.`);
  });
  return { ...(await serve(app)), ...busy };
}

export const ours = () => open({});
export const everyCore = () => open({ maxThreads: availableParallelism() });
export const rival = () => open({}, false);

export const measure = (settings) =>
  compareSaturated(import.meta.url, settings, {
    toReach: row.toReach,
    title: row.title,
    subtitle: `200 pings a second, tasks of ${TASK_MS} ms. The median over the rounds.`,
    labels: { ours: 'default pool', everyCore: 'a thread for every core', rival: 'no tasks' },
  });
