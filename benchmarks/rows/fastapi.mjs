import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';
import { mainThreadCpuOf } from '../support/main-thread.mjs';
import { comparePeers, KINDS, PER_SECOND, TASK_MS } from '../support/peers.mjs';
import { startFastApi, withoutFastApi } from '../support/python.mjs';
import { serve } from '../support/servers.mjs';

export const row = {
  title: "FastAPI's BackgroundTasks",
  what: `The same small application on both: ${PER_SECOND} requests a second add a task of ${TASK_MS} ms each, and 200 pings a second ask a route that adds none. A task that computes keeps busy for ${TASK_MS} ms by the clock in both languages: what is compared is which requests it delays, not how fast Python is. In FastAPI it is a \`def\` task, which runs in a thread, and then an \`async def\` task, a common mistake; here it is \`blocking\`. A task that waits is asynchronous in both. The difference without any task is that of the frameworks. uvicorn runs one worker. The row fails unless as many tasks are done as were added.`,
  rival: 'FastAPI under uvicorn',
  toReach: {},
};

export const cannotRun = withoutFastApi;

const { busyFor } = blocking(new URL('../tasks/busy.mjs', import.meta.url));

export async function ours() {
  const app = express();
  const background = backgroundTasks();
  app.use(background);
  app.get('/ping', (_req, res) => void res.sendStatus(204));
  let waited = 0;
  async function wait(milliseconds) {
    await sleep(milliseconds);
    waited += 1;
  }
  app.get('/wait/:milliseconds', (req, res) => {
    res.locals.backgroundTasks.add(wait, Number(req.params.milliseconds));
    res.status(202).json({ message: 'Accepted' });
  });
  app.get('/compute/:milliseconds', (req, res) => {
    res.locals.backgroundTasks.add(busyFor, Number(req.params.milliseconds));
    res.status(202).json({ message: 'Accepted' });
  });
  app.get('/done', (_req, res) => {
    res.json({ done: waited + background.stats().executors.thread.outcomes.completed });
  });
  return { ...(await serve(app)), kinds: () => KINDS.filter((kind) => kind !== 'compute-on-the-loop') };
}

export async function rival() {
  const { port, pid } = await startFastApi();
  // The event loop of uvicorn runs in the main thread of its process.
  return {
    port: () => port,
    kinds: () => KINDS,
    mainThread: () => ({ cpu: mainThreadCpuOf(pid), active: Number.NaN }),
  };
}

const measured = [
  { what: 'ping beside `blocking`, and `def`', of: 'ping', ours: 'compute', rival: 'compute' },
  { what: 'ping beside `blocking`, and `async def`', of: 'ping', ours: 'compute', rival: 'compute-on-the-loop' },
  { what: 'ping beside tasks that wait', of: 'ping', ours: 'wait', rival: 'wait' },
  { what: 'ping without tasks', of: 'ping', ours: 'none', rival: 'none' },
  { what: 'request that adds `blocking`, and `def`', of: 'request', ours: 'compute', rival: 'compute' },
  {
    what: 'request that adds `blocking`, and `async def`',
    of: 'request',
    ours: 'compute',
    rival: 'compute-on-the-loop',
  },
];

export const measure = (settings) =>
  comparePeers(import.meta.url, settings, {
    title: 'Pings beside background tasks that compute',
    figures: measured,
    series: [
      { name: 'blocking', side: 'ours', kind: 'compute' },
      { name: 'no tasks', side: 'ours', kind: 'none' },
      { name: 'FastAPI def', side: 'rival', kind: 'compute' },
      { name: 'FastAPI async def', side: 'rival', kind: 'compute-on-the-loop' },
      { name: 'FastAPI, no tasks', side: 'rival', kind: 'none' },
    ],
  });
