// Requests by the clock, from another process, to a route that has nothing to do with tasks: the latency that other clients see.
import { pick } from './interleave.mjs';
import { watchSide } from './main-thread.mjs';
import { percentilesOf } from './percentiles.mjs';
import { start } from './processes.mjs';

const PER_SECOND = 200;

/** The route answers with 204. */
export async function startPings() {
  const generator = await start(new URL('open-loop.mjs', import.meta.url), 'openLoop');
  return {
    /**
     * Of each ping when it was due, and how long it took, in milliseconds: `answers`. The `sample` has their percentiles, and
     * what the side's main thread spent meanwhile, in milliseconds for a second.
     */
    async run(side, milliseconds) {
      const asked = { port: await side.call('port'), path: '/ping', perSecond: PER_SECOND, milliseconds };
      const spent = await watchSide(side);
      const { statuses, answers } = await generator.call('run', asked);
      const { cpu, active } = await spent();
      expectOnly(statuses, [204]);
      const latencies = percentilesOf(latenciesOf(answers));
      return { answers, sample: { ...latencies, cpu: cpu / milliseconds, active: active / milliseconds } };
    },
    end: () => generator.end(),
  };
}

/** The figures of a row's pings. The first decides, and has the row's own target if it is not given one. */
export const figuresOfPings = (samples, { under = '', toReach } = {}) => [
  { what: `ping p99${under}`, unit: 'ms', toReach, ...pick(samples, 'p99') },
  { what: `ping p50${under}`, unit: 'ms', ...pick(samples, 'p50') },
  { what: `slowest ping${under}`, unit: 'ms', ...pick(samples, 'max') },
  { what: `main thread's CPU, a second${under}`, unit: 'ms', ...pick(samples, 'cpu') },
  { what: `event loop active, a second${under}`, unit: 'ms', ...pick(samples, 'active') },
];

export const latenciesOf = (answers) => answers.map(([, latency]) => latency);

export function expectOnly(statuses, expected) {
  const others = Object.keys(statuses).filter((status) => !expected.includes(Number(status)));
  if (others.length > 0)
    throw new Error(`Expected only answers of ${expected.join(', ')}, got ${JSON.stringify(statuses)}.`);
}
