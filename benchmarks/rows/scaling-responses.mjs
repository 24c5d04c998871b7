import { execFileSync } from 'node:child_process';
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { bothLines, compareCurves, LINEAR } from '../support/curves.mjs';
import { start } from '../support/processes.mjs';
import { serve } from '../support/servers.mjs';

const POINTS = [100, 1_000, 10_000];
const OTHER_FILES = 200;

export const row = {
  title: 'scaling: responses in flight',
  what: `${POINTS[0]} to ${POINTS.at(-1).toLocaleString('en')} requests are under way at once, each on a connection of its own: the handler adds one asynchronous function and answers when all of them have arrived. Then the responses end, the tasks run, and the next requests come. The server's CPU a response ${LINEAR}. The same limit holds for the heap that a response takes.`,
  rival: "`res.on('finish')` by hand",
  toReach: {},
};

let calls = 0;

async function count(step) {
  calls += step;
}

/** Holds the requests of a server until the expected number has arrived. The first time, the heap is measured. */
function together() {
  let wanted = 1;
  let isWeighed = false;
  let [heap, weighing] = [0, 0];
  const held = [];
  function heapUsed() {
    const { user, system } = process.cpuUsage();
    globalThis.gc();
    const { heapUsed: used } = process.memoryUsage();
    const spent = process.cpuUsage();
    weighing += spent.user - user + spent.system - system;
    return used;
  }
  return {
    hold(res) {
      if (held.push(res) < wanted) return;
      if (!isWeighed) heap = (heapUsed() - heap) / wanted;
      isWeighed = true;
      for (const one of held.splice(0)) one.json({ message: 'Hello' });
    },
    functions: {
      expect(number) {
        wanted = number;
        heap = heapUsed();
        [isWeighed, weighing] = [false, 0];
      },
      /** The bytes of heap for one request, and the microseconds that it took to measure them. */
      weighed: () => ({ heap, weighing }),
    },
  };
}

export async function ours() {
  const app = express();
  const background = backgroundTasks();
  const { hold, functions } = together();
  app.use(background);
  app.get('/', (_req, res) => {
    res.locals.backgroundTasks.add(count, 1);
    hold(res);
  });
  const server = await serve(app, async () => {
    await background.idle();
    return calls;
  });
  return { ...server, ...functions };
}

export async function rival() {
  const app = express();
  const { hold, functions } = together();
  app.get('/', (_req, res) => {
    res.on('finish', () => count(1));
    hold(res);
  });
  return { ...(await serve(app, () => calls)), ...functions };
}

/** Each server has a load generator of its own: both ends of a connection are open files, whose number is limited in one process. */
export async function measure(settings) {
  // A quick run has no time for the largest number.
  const most = Math.min(mostFiles() - OTHER_FILES, settings.rounds * settings.roundMs);
  const points = POINTS.filter((point) => point <= most);
  const generators = new Map();

  async function connect(side, port) {
    const generator = await start(new URL('../support/load.mjs', import.meta.url), 'load', { core: 1 });
    generators.set(port, generator);
    await side.call('expect', 1);
    const length = await generator.call('lengthOf', { port });
    await generator.call('open', { port, length, connections: points.at(-1) });
  }

  async function runPoint(side, connections, milliseconds) {
    const port = await side.call('port');
    if (!generators.has(port)) await connect(side, port);
    await side.call('expect', connections);
    const cpuBefore = await side.call('cpu');
    const requests = await generators.get(port).call('bursts', { port, connections, milliseconds });
    await side.call('check');
    const cpu = (await side.call('cpu')) - cpuBefore;
    const { heap, weighing } = await side.call('weighed');
    return { cpu: (cpu - weighing) / requests, heap };
  }

  try {
    return await compareCurves(import.meta.url, settings, {
      points,
      roundMs: 500,
      part: 0.3,
      runPoint,
      costs: [
        { what: 'CPU a response', unit: 'µs', key: 'cpu' },
        { what: 'heap a response in flight', unit: 'bytes', key: 'heap' },
      ],
      options: { core: 0, execArgv: ['--expose-gc'] },
      title: 'More responses in flight',
      subtitle: 'One asynchronous function each. Medians over the rounds.',
      xLabel: 'responses in flight at once',
      panels: [
        { label: "The server's CPU a response (µs)", isLog: false, lines: bothLines('cpu', "res.on('finish')") },
        { label: 'Heap a response in flight (bytes)', isLog: false, lines: bothLines('heap', "res.on('finish')") },
      ],
    });
  } finally {
    await Promise.all([...generators.values()].map((generator) => generator.end()));
  }
}

/** A connection is an open file. Node raises its limit as far as the system allows. */
function mostFiles() {
  try {
    return Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'latin1' })) || Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
