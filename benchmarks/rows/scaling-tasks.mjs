import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { bothLines, compareCurves, LINEAR } from '../support/curves.mjs';
import { start } from '../support/processes.mjs';
import { serve } from '../support/servers.mjs';

const POINTS = [1, 10, 100, 1_000];

export const row = {
  title: 'scaling: tasks a response',
  what: `The handler adds 1 to ${POINTS.at(-1).toLocaleString('en')} asynchronous functions, which do next to nothing, and answers with a small JSON; they run one after the other. The server's CPU a task, its share of the request included, ${LINEAR}.`,
  rival: "`res.on('finish')` by hand, which awaits one function after the other",
  toReach: {},
};

let tasks = POINTS[0];
let calls = 0;
let responsesBefore = 0;

async function count(step) {
  calls += step;
}

/** Sets how many tasks each response has from now on. */
function each(number) {
  responsesBefore += calls / tasks;
  [tasks, calls] = [number, 0];
}

/** For how many responses the tasks have run. */
const responses = () => responsesBefore + calls / tasks;

export async function ours() {
  const app = express();
  const background = backgroundTasks({ maxBacklog: 1_000_000 });
  app.use(background);
  app.get('/', (_req, res) => {
    for (let task = 0; task < tasks; task += 1) res.locals.backgroundTasks.add(count, 1);
    res.json({ message: 'Hello' });
  });
  const server = await serve(app, async () => {
    await background.idle();
    return responses();
  });
  return { ...server, each };
}

export async function rival() {
  const app = express();
  let running = 0;
  app.get('/', (_req, res) => {
    const list = [];
    for (let task = 0; task < tasks; task += 1) list.push(() => count(1));
    running += 1;
    res.on('finish', async () => {
      for (const task of list) await task();
      running -= 1;
    });
    res.json({ message: 'Hello' });
  });
  const server = await serve(app, async () => {
    while (running > 0) await new Promise((resolve) => setImmediate(resolve));
    return responses();
  });
  return { ...server, each };
}

export async function measure(settings) {
  const generator = await start(new URL('../support/load.mjs', import.meta.url), 'load', { core: 1 });

  async function runPoint(side, number, milliseconds) {
    await side.call('each', number);
    const port = await side.call('port');
    const cpuBefore = await side.call('cpu');
    const { requests } = await generator.call('run', { port, milliseconds });
    await side.call('check');
    const cpu = (await side.call('cpu')) - cpuBefore;
    return { cpu: cpu / (requests * number) };
  }

  try {
    return await compareCurves(import.meta.url, settings, {
      points: POINTS,
      roundMs: 500,
      runPoint,
      costs: [{ what: 'CPU a task', unit: 'µs', key: 'cpu' }],
      options: { core: 0 },
      title: 'More tasks a response',
      subtitle:
        'Asynchronous functions, one after the other. The request is part of the cost. Medians over the rounds.',
      xLabel: 'tasks a response',
      panels: [{ label: "The server's CPU a task (µs)", lines: bothLines('cpu', "res.on('finish')") }],
    });
  } finally {
    await generator.end();
  }
}
