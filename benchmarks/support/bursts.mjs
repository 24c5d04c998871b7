// Compares ways to run bursts of tasks: many are added at once and waited for together, again and again.
import { bars } from './bars.mjs';
import { interleave, pick, pickTwo, stretch } from './interleave.mjs';
import { watchMainThread } from './main-thread.mjs';
import { percentilesOf } from './percentiles.mjs';
import { median } from './statistics.mjs';

export const BURST = 2_000;

/** A round whose tasks are timed. */
const TIMED = { roundMs: 250, fewest: 8, times: 0.5 };

/** What a side of a row returns: how it runs one task. `runOne` resolves to the task's value. */
export function inBursts(runOne) {
  return {
    /** How long each task of some bursts takes from when it is added until its caller has the value. To time it costs something, too. */
    async time({ milliseconds }) {
      const startedAt = performance.now();
      const latencies = [];
      async function timeOne() {
        const addedAt = performance.now();
        await runOne();
        latencies.push(performance.now() - addedAt);
      }
      do {
        await Promise.all(Array.from({ length: BURST }, timeOne));
      } while (performance.now() - startedAt < milliseconds);
      return { operations: latencies.length, ...percentilesOf(latencies) };
    },
    async run({ milliseconds, expected, burst = BURST }) {
      const spent = watchMainThread();
      const startedAt = performance.now();
      const bursts = [];
      let tasks = 0;
      do {
        const addedAt = performance.now();
        const values = await Promise.all(Array.from({ length: burst }, () => runOne()));
        const wrong = values.find((value) => value !== expected);
        if (wrong !== undefined) throw new Error(`Expected the task to return ${expected}, got ${wrong}.`);
        bursts.push(performance.now() - addedAt);
        tasks += burst;
      } while (performance.now() - startedAt < milliseconds);
      const seconds = (performance.now() - startedAt) / 1_000;
      return { tasks, seconds, ...spent(), ...percentilesOf(bursts) };
    },
  };
}

/** The figures of a row whose sides are made by {@link inBursts}. */
export async function compareBursts(row, settings, { expected, labels, others, cpuToReach, ...texts }) {
  async function measure(side, milliseconds) {
    const { tasks, seconds, cpu, active, p50 } = await side.call('run', { milliseconds, expected });
    return { operations: tasks, throughput: tasks / seconds, cpu: cpu / tasks, active: active / tasks, p50 };
  }
  const time = (side, milliseconds) => side.call('time', { milliseconds });

  const sides = 2 + others.length;
  const samples = await interleave(row, stretch(settings, { sides }), measure, { others });
  const timed = await interleave(row, stretch(settings, { sides, ...TIMED }), time, { others });
  const figures = [
    { what: 'throughput', unit: 'tasks/s', ...pick(samples, 'throughput') },
    { what: "main thread's CPU a task", unit: 'µs', toReach: cpuToReach, ...pick(samples, 'cpu') },
    { what: 'event loop active, a task', unit: 'µs', ...pickTwo(samples, 'active') },
    { what: `until all ${BURST.toLocaleString('en')} have settled, p50`, unit: 'ms', ...pickTwo(samples, 'p50') },
    { what: 'from add to settled, p50', unit: 'ms', ...pickTwo(timed, 'p50') },
    { what: 'from add to settled, p99', unit: 'ms', ...pickTwo(timed, 'p99') },
    { what: 'from add to settled, the longest', unit: 'ms', ...pickTwo(timed, 'max') },
  ];
  const barsOf = (key) =>
    Object.entries(labels).map(([name, text]) => ({
      name: text,
      value: median(samples[name].map((sample) => sample[key])),
    }));
  return {
    figures,
    plot: bars({
      ...texts,
      panels: [
        { label: 'Tasks a second', bars: barsOf('throughput') },
        { label: "Main thread's CPU a task (µs)", bars: barsOf('cpu') },
      ],
    }),
  };
}
