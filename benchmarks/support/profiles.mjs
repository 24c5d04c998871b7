// A CPU profile of one side of a row, grouped by the code's owner.
import { postInTurn } from './engine-requests.mjs';
import { startRedis, withServer } from './engine-servers.mjs';
import { start } from './processes.mjs';

/** The owner of a frame's code, by its URL; the first match counts. */
const PLACES = [
  [/^(?!.*\/node_modules\/).*\/dist\//, () => 'this package'],
  [/\/node_modules\/(on-finished|ee-first)\//, () => 'on-finished'],
  [/\/node_modules\/winston/, () => 'winston'],
  [/\/node_modules\/(express|router|etag|send|qs|parseurl|debug)\//, () => 'Express'],
  [/\/node_modules\/([^/]+)\//, ({ url }) => /\/node_modules\/([^/]+)\//.exec(url)[1]],
  [/^node:.*async_hooks|^node:internal\/async_/, () => 'Node: async hooks and resources'],
  [/^node:/, () => 'Node: http, streams, timers'],
  [/^file:/, () => 'the benchmark'],
];
const WITHOUT_URL = {
  '(garbage collector)': 'garbage collection',
  '(idle)': undefined,
  '(program)': 'Node: native code',
};

function placeOf({ functionName, url }) {
  if (url === '') return functionName in WITHOUT_URL ? WITHOUT_URL[functionName] : 'Node: native code';
  const [, name] = PLACES.find(([pattern]) => pattern.test(url)) ?? [];
  return name?.({ url }) ?? url;
}

/** The microseconds of each place for one operation. */
function summarize({ nodes, samples, timeDeltas }, operations) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const spent = {};
  for (const [index, id] of samples.entries()) {
    const place = placeOf(frames.get(id));
    if (place !== undefined) spent[place] = (spent[place] ?? 0) + timeDeltas[index] / operations;
  }
  return spent;
}

async function profiled(side, warmUp, measure) {
  await warmUp();
  await side.call('startProfile');
  const operations = await measure();
  return summarize(await side.call('stopProfile'), operations);
}

/** A row made of two servers. */
export async function profileServer(row, name, milliseconds) {
  const side = await start(row, name, { core: 0 });
  const generator = await start(new URL('load.mjs', import.meta.url), 'load', { core: 1 });
  try {
    const port = await side.call('port');
    const run = async () => (await generator.call('run', { port, milliseconds })).requests;
    return await profiled(side, run, run);
  } finally {
    await Promise.all([side.end(), generator.end()]);
  }
}

/** A row made of bursts of tasks. */
export async function profileBurst(row, name, milliseconds) {
  const side = await start(row, name);
  const { expected } = await import('./small-tasks.mjs');
  try {
    const run = async () => (await side.call('run', { milliseconds, expected })).tasks;
    return await profiled(side, run, run);
  } finally {
    await side.end();
  }
}

/** A row of durable tasks on Redis, one request at a time. */
export function profileEngine(row, name, milliseconds) {
  return withServer(startRedis, async () => {
    const side = await start(row, name);
    try {
      const port = await side.call('port');
      const run = () => postInTurn(port, { clients: 1, milliseconds });
      return await profiled(side, run, run);
    } finally {
      await side.end();
    }
  });
}
