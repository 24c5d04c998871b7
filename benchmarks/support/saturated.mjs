// Compares servers whose threads always have work with one whose threads have none, by the latency of requests.
import { interleave, stretch } from './interleave.mjs';
import { drawPercentiles } from './percentiles.mjs';
import { figuresOfPings, startPings } from './pings.mjs';
import { median } from './statistics.mjs';

export const TASK_MS = 20;

/** A p99 needs hundreds of pings. */
const ROUND = 3_000;
/** Threads have started, and their module is loaded. */
const LEAD = 500;
const PART = ROUND / (LEAD + ROUND);

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Keeps `threads` busy: as many more tasks wait, so that no thread has to wait for one. `runOne` resolves when it is done. */
export function busyThreads(threads, runOne) {
  let isWanted = false;
  let [done, startedAt] = [0, 0];
  let feeders = [];
  return {
    begin() {
      isWanted = true;
      done = 0;
      startedAt = performance.now();
      feeders = Array.from({ length: 2 * threads }, async () => {
        for (; isWanted; done += 1) await runOne();
      });
    },
    /** The part of the time for which the threads were in tasks. */
    async end() {
      isWanted = false;
      await Promise.all(feeders);
      return threads === 0 ? 0 : (done * TASK_MS) / (threads * (performance.now() - startedAt));
    },
  };
}

/** @param texts of the plot. The sides of the row are `ours`, `everyCore` and, without tasks, `rival`. */
export async function compareSaturated(row, settings, { toReach, labels, ...texts }) {
  const pings = await startPings();

  async function measure(side, milliseconds) {
    await side.call('begin');
    await pause(LEAD);
    const { answers, sample } = await pings.run(side, milliseconds);
    return { operations: answers.length, busy: await side.call('end'), ...sample };
  }

  try {
    const stretched = { ...stretch(settings, { sides: 3, roundMs: ROUND, part: PART, times: 2 }), warmUp: 1 };
    const samples = await interleave(row, stretched, measure, { others: ['everyCore'] });
    const { everyCore, ...byDefault } = samples;
    const full = { ours: everyCore, rival: samples.rival };
    const busy = (side) => `${Math.round(100 * median(side.map((sample) => sample.busy)))} %`;
    return {
      figures: [
        ...figuresOfPings(full, { under: ', a thread for every core' }),
        ...figuresOfPings(byDefault, { under: ', default pool', toReach }),
      ],
      facts: [`threads in tasks for ${busy(samples.ours)} of the time, with one for every core ${busy(everyCore)}`],
      plot: drawPercentiles(samples, { ...texts, label: 'Latency of a ping (ms)', labels, of: 'pings' }),
    };
  } finally {
    await pings.end();
  }
}
