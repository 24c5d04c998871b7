// Compares the servers of two frameworks, each with its own background tasks, by the latency of other requests.
import { interleave, pick, stretch } from './interleave.mjs';
import { drawPercentiles, percentilesOf } from './percentiles.mjs';
import { expectOnly, latenciesOf, startPings } from './pings.mjs';
import { start } from './processes.mjs';

export const TASK_MS = 50;
export const PER_SECOND = 10;

/** Only pings; tasks that await something; tasks that compute, where each framework wants them; and tasks that compute on the event loop. */
export const KINDS = ['none', 'wait', 'compute', 'compute-on-the-loop'];

/** What is said of pings, and of requests, by its key in a sample. */
const LATENCIES = { p99: 'p99', p50: 'p50', max: 'max' };
const KEYS = { ping: { ...LATENCIES, cpu: "main thread's CPU, a second" }, request: LATENCIES };

const ROUND = 2_000;
/** By then the tasks left from a round must be done, or the row fails. */
const LONGEST_REST = 10_000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ask = async (port, path) => (await fetch(`http://127.0.0.1:${port}${path}`)).json();

/**
 * The sides of the row return their `port` and the `kinds` that they have. The server answers `/ping` with 204,
 * `/KIND/MILLISECONDS` with 202, and `/done` with how many tasks are done.
 */
export async function comparePeers(row, settings, { figures, series, title }) {
  const load = await start(new URL('open-loop.mjs', import.meta.url), 'openLoop');
  const pings = await startPings();
  let versions;

  async function measureKind(side, port, kind, milliseconds) {
    const path = `/${kind}/${TASK_MS}`;
    const before = await ask(port, '/done');
    const asking = kind === 'none' ? undefined : load.call('run', { port, path, perSecond: PER_SECOND, milliseconds });
    const { sample: ping } = await pings.run(side, milliseconds);
    const asked = await asking;
    if (asked === undefined) return { ping };
    expectOnly(asked.statuses, [202]);
    await haveBeenDone(port, before.done + asked.sent);
    return { ping, request: percentilesOf(latenciesOf(asked.answers)) };
  }

  async function haveBeenDone(port, wanted) {
    const deadline = performance.now() + LONGEST_REST;
    let seen;
    do {
      seen = await ask(port, '/done');
      versions = seen.versions ?? versions;
      if (seen.done === wanted) return;
      await pause(10);
    } while (seen.done < wanted && performance.now() < deadline);
    throw new Error(`${wanted} tasks were accepted, ${seen.done} done.`);
  }

  async function measure(side, milliseconds) {
    const port = await side.call('port');
    const sample = { operations: 1 };
    for (const kind of await side.call('kinds')) sample[kind] = await measureKind(side, port, kind, milliseconds);
    return sample;
  }

  try {
    const stretched = { ...stretch(settings, { sides: 2 * KINDS.length, roundMs: ROUND, times: 2 }), warmUp: 1 };
    const samples = await interleave(row, stretched, measure);
    const of = (side, kind, what) => samples[side].map((sample) => sample[kind][what]);
    return {
      figures: figures
        .flatMap(({ what, of: measured, ours, rival }) => {
          const both = { ours: of('ours', ours, measured), rival: of('rival', rival, measured) };
          return Object.entries(KEYS[measured]).map(([key, text]) => ({
            what: `${what}, ${text}`,
            unit: 'ms',
            ...pick(both, key),
          }));
        })
        // The CPU time of another process is only known on Linux.
        .filter(({ rival }) => rival.every(Number.isFinite)),
      facts: [versions],
      plot: drawPercentiles(Object.fromEntries(series.map(({ name, side, kind }) => [name, of(side, kind, 'ping')])), {
        title,
        subtitle: `${PER_SECOND} requests a second add a task of ${TASK_MS} ms each. The median over the rounds.`,
        label: 'Latency of a ping (ms)',
        labels: Object.fromEntries(series.map(({ name }) => [name, name])),
        of: 'pings',
      }),
    };
  } finally {
    await Promise.all([load.end(), pings.end()]);
  }
}
