// Compares servers by throughput, by CPU time per request, and by how long requests take.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { PerformanceObserver } from 'node:perf_hooks';
import { interleave, pick, pickTwo, stretch } from './interleave.mjs';
import { watchSide } from './main-thread.mjs';
import { drawPercentiles, percentilesOf } from './percentiles.mjs';
import { expectOnly, latenciesOf } from './pings.mjs';
import { start } from './processes.mjs';

/** Longer than a server waits until it is measured. */
const KEEP_ALIVE = 300_000;

/** Stands for no collection: shorter than any real one, since a ratio needs a number. */
const NONE = 0.001;

/** Milliseconds of garbage collection since the last call: all of it, and the longest. */
function watchCollections() {
  let [all, longest] = [NONE, NONE];
  const count = (entries) => {
    for (const { duration } of entries) {
      all += duration;
      longest = Math.max(longest, duration);
    }
  };
  const observer = new PerformanceObserver((list) => count(list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  return () => {
    count(observer.takeRecords());
    const taken = { all, longest };
    [all, longest] = [NONE, NONE];
    return taken;
  };
}

/** What a side of a row returns: its application, listening. `calls` says how often its task has run. */
export async function serve(app, calls) {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE }, app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  let served = 0;
  server.on('request', () => {
    served += 1;
  });
  return {
    port: () => server.address().port,
    collections: watchCollections(),
    /** Every request must have had its task. */
    check: async () => {
      const called = await calls?.();
      if (called !== undefined && called !== served) {
        throw new Error(`Expected a task for each of ${served} requests, got ${called}.`);
      }
    },
  };
}

/** Far below what any of the servers can do, and enough for a p99. */
const PER_SECOND = 1_000;
const ROUND_BY_THE_CLOCK = { roundMs: 1_000, fewest: 8 };
const WARM_UP_BY_THE_CLOCK = 5_000;

/**
 * The figures of a row whose sides are made by {@link serve}: the most that a server can do, then the latency of requests
 * that come by the clock. The server has one core, the load generator another. A server's own CPU time per request is less
 * affected by other activity of the machine, so it is given beside the throughput; its ratio is the rival's to ours, so
 * that it reads like that of the throughput.
 *
 * @param others further sides, by the names of their exports.
 * @param labels the names of all sides in the plot.
 */
export async function compareServers(row, settings, { others = [], title, labels }) {
  const [generator, clock] = await Promise.all([
    start(new URL('load.mjs', import.meta.url), 'load', { core: 1 }),
    start(new URL('open-loop.mjs', import.meta.url), 'openLoop', { core: 1 }),
  ]);

  async function atMost(side, milliseconds) {
    const port = await side.call('port');
    const [cpuBefore, spent] = [await side.call('cpu'), await watchSide(side)];
    await side.call('collections');
    const { requests, seconds } = await generator.call('run', { port, milliseconds });
    const [cpu, { active }] = [(await side.call('cpu')) - cpuBefore, await spent()];
    const { all, longest } = await side.call('collections');
    await side.call('check');
    return {
      operations: requests,
      throughput: requests / seconds,
      cpu: cpu / requests,
      active: active / requests,
      collected: (all * 1_000) / requests,
      longestCollection: longest,
    };
  }

  async function byTheClock(side, milliseconds) {
    const asked = { port: await side.call('port'), path: '/', perSecond: PER_SECOND, milliseconds };
    const { statuses, answers } = await clock.call('run', asked);
    expectOnly(statuses, [200]);
    await side.call('check');
    return { operations: answers.length, ...percentilesOf(latenciesOf(answers)) };
  }

  const options = { others, core: 0 };
  const sides = 2 + others.length;
  try {
    const most = await interleave(row, stretch(settings, { sides }), atMost, options);
    const calm = {
      ...stretch(settings, { sides, ...ROUND_BY_THE_CLOCK }),
      warmUp: Math.min(settings.warmUp, WARM_UP_BY_THE_CLOCK),
    };
    const single = await interleave(row, calm, byTheClock, options);
    return {
      figures: [
        { what: 'throughput', unit: 'requests/s', ...pick(most, 'throughput') },
        { what: 'CPU a request', unit: 'µs', isInverse: true, ...pick(most, 'cpu') },
        { what: 'event loop active, a request', unit: 'µs', isInverse: true, ...pickTwo(most, 'active') },
        { what: 'garbage collection, a request', unit: 'µs', isInverse: true, ...pickTwo(most, 'collected') },
        { what: 'longest collection', unit: 'ms', isInverse: true, ...pickTwo(most, 'longestCollection') },
        ...['p50', 'p99', 'max'].map((key) => ({
          what: `${PER_SECOND.toLocaleString('en')} requests a second, ${key}`,
          unit: 'ms',
          ...pickTwo(single, key),
        })),
      ],
      plot: drawPercentiles(single, {
        title,
        subtitle: `${PER_SECOND.toLocaleString('en')} requests a second, each sent when it is due. Medians over the rounds.`,
        label: 'From due to answered (ms)',
        of: 'requests',
        labels,
      }),
    };
  } finally {
    await Promise.all([generator.end(), clock.end()]);
  }
}
