// How late the event loop of a web process is while it hands over durable tasks, by the sides of engine-sides.mjs.
import { postAtRate } from './engine-requests.mjs';
import { withServer } from './engine-servers.mjs';
import * as sides from './engine-sides.mjs';
import { interleave, pick } from './interleave.mjs';
import { watchSide } from './main-thread.mjs';

const RATE = 50;
/** Some seconds, since the row has few requests. */
const WARM_UP = 200;

/** Where tasks are kept, and the name of the library by hand. */
export function loopRow({ on, byHand: name }) {
  return {
    title: `${RATE} durable tasks a second on ${on}`,
    what: `How late timers of 1 ms are in a web process that stages and releases ${RATE} durable tasks a second, while a worker in another process runs them.`,
    rival: 'the same server without requests',
    others: { byHand: name, bare: 'bare Express, as many requests without a task' },
    toReach: { atMost: 1.2 },
  };
}

const at = async (rate, opened) => ({ ...(await opened), rate: () => rate });

export const ours = () => at(RATE, sides.ours());
export const rival = () => at(0, sides.ours());
export const byHand = () => at(RATE, sides.rival());
export const bare = () => at(RATE, sides.bare());

export function measureLoop(row, { rounds }, startServer) {
  async function measure(side, milliseconds) {
    const [rate, port] = [await side.call('rate'), await side.call('port')];
    const spent = await watchSide(side);
    const lateness = side.call('lateness', { milliseconds });
    const answered = await postAtRate(port, rate, lateness);
    const { cpu, active } = await spent();
    await side.call('take');
    return {
      operations: answered + 1,
      ...(await lateness),
      cpu: cpu / milliseconds,
      active: active / milliseconds,
    };
  }
  return withServer(startServer, async () => {
    const settings = { rounds: Math.ceil(rounds / 4), roundMs: 1_000, warmUp: WARM_UP };
    const samples = await interleave(row, settings, measure, { others: ['byHand', 'bare'] });
    return [
      { what: 'delay of the event loop, p99', unit: 'µs', ...pick(samples, 'p99') },
      { what: 'delay of the event loop, p50', unit: 'µs', ...pick(samples, 'p50') },
      { what: 'delay of the event loop, the longest', unit: 'µs', ...pick(samples, 'max') },
      { what: "main thread's CPU, a second", unit: 'ms', ...pick(samples, 'cpu') },
      { what: 'event loop active, a second', unit: 'ms', ...pick(samples, 'active') },
    ];
  });
}
