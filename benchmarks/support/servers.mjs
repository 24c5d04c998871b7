// Compares two servers by throughput and by CPU time per request.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { interleave, pick } from './interleave.mjs';
import { start } from './processes.mjs';

/** Longer than a server waits for its turn. */
const KEEP_ALIVE = 300_000;

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
    /** Every request must have had its task. */
    check: async () => {
      const called = await calls?.();
      if (called !== undefined && called !== served) {
        throw new Error(`Expected a task for each of ${served} requests, got ${called}.`);
      }
    },
  };
}

/**
 * The figures of a row whose exports `ours` and `rival` are made by {@link serve}. The server has one core, the load
 * generator another. A server's own CPU time per request feels less of what else the machine does, so it stands
 * beside the throughput; its ratio is the rival's to ours, to be read like that of the throughput.
 */
export async function compareServers(row, settings) {
  const generator = await start(new URL('load.mjs', import.meta.url), 'load', { core: 1 });

  async function measure(side, milliseconds) {
    const port = await side.call('port');
    const cpuBefore = await side.call('cpu');
    const { requests, seconds } = await generator.call('run', { port, milliseconds });
    const cpu = (await side.call('cpu')) - cpuBefore;
    await side.call('check');
    return { operations: requests, throughput: requests / seconds, cpu: cpu / requests };
  }

  try {
    const samples = await interleave(row, settings, measure, { core: 0 });
    return [
      { what: 'throughput', unit: 'requests/s', ...pick(samples, 'throughput') },
      { what: 'CPU a request', unit: 'µs', isInverse: true, ...pick(samples, 'cpu') },
    ];
  } finally {
    await generator.end();
  }
}
