// Compares ways to run bursts of tasks: many are added at once and waited for together, again and again.
import { bars } from './bars.mjs';
import { interleave, pick, pickTwo, stretch } from './interleave.mjs';
import { watchMainThread } from './main-thread.mjs';
import { percentilesOf } from './percentiles.mjs';
import { median } from './statistics.mjs';

export const BURST = 2_000;

/** What a side of a row returns: how it runs one task. `runOne` resolves to the task's value. */
export function inBursts(runOne) {
  return {
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
    const { tasks, seconds, cpu, active, p50, max } = await side.call('run', { milliseconds, expected });
    return { operations: tasks, throughput: tasks / seconds, cpu: cpu / tasks, active: active / tasks, p50, max };
  }

  const samples = await interleave(row, stretch(settings, { sides: 2 + others.length }), measure, { others });
  const figures = [
    { what: 'throughput', unit: 'tasks/s', ...pick(samples, 'throughput') },
    { what: "main thread's CPU a task", unit: 'µs', toReach: cpuToReach, ...pick(samples, 'cpu') },
    { what: 'event loop active, a task', unit: 'µs', ...pickTwo(samples, 'active') },
    { what: `until all ${BURST.toLocaleString('en')} have settled, p50`, unit: 'ms', ...pickTwo(samples, 'p50') },
    {
      what: `until all ${BURST.toLocaleString('en')} have settled, the longest`,
      unit: 'ms',
      ...pickTwo(samples, 'max'),
    },
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
