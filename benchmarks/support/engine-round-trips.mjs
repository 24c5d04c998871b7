// What a durable task costs from `add` to its start in a worker, by the sides of engine-sides.mjs.
import { postInTurn } from './engine-requests.mjs';
import { withServer } from './engine-servers.mjs';
import { interleave, pick } from './interleave.mjs';
import { quantile } from './statistics.mjs';

const CONCURRENT = 25;
const LIMIT = { atMost: 1.15 };

/** Both sides are to be what they are when they have run for a while: a server's code goes on getting faster for some thousand requests. */
const WARM_UP = { one: 6_000, many: 10_000 };

/**
 * @param startServer `() => { url, end }`
 * @param others further sides, by the names of their exports.
 */
export function measureEngine(row, settings, startServer, others = []) {
  return withServer(startServer, async () => {
    const one = await interleave(row, { ...settings, warmUp: WARM_UP.one }, measureWith(1), { others });
    const many = await interleave(row, { ...settings, warmUp: WARM_UP.many }, measureWith(CONCURRENT), { others });
    const figure = (what, key) => ({ what, unit: 'µs', toReach: LIMIT, ...pick(one, key) });
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
        toReach: LIMIT,
        ...pick(many, 'rate'),
      },
      { what: `the server's CPU a request, ${CONCURRENT} at once`, unit: 'µs', ...pick(many, 'server') },
      { what: `the worker's CPU a task, ${CONCURRENT} at once`, unit: 'µs', ...pick(many, 'worker') },
    ];
  });
}

function measureWith(clients) {
  return async (side, milliseconds) => {
    const port = await side.call('port');
    await side.call('take');
    const before = await side.call('cpu');
    const beganAt = performance.now();
    const operations = await postInTurn(port, { clients, milliseconds });
    const taken = await side.call('take');
    const sample = { operations, rate: operations / ((performance.now() - beganAt) / 1_000) };
    const after = await side.call('cpu');
    for (const name of ['server', 'worker']) sample[name] = (after[name] - before[name]) / operations;
    for (const [name, values] of Object.entries(taken)) {
      sample[name] = quantile(values, 0.5);
      sample[`${name}P99`] = quantile(values, 0.99);
    }
    return sample;
  };
}
