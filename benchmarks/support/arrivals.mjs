// Compares ways to run tasks that arrive by the clock, whether or not those before them have been done.
import { monotonicMs } from '../tasks/clock.mjs';
import { interleave, pick, pickTwo, stretch } from './interleave.mjs';
import { watchMainThread } from './main-thread.mjs';
import { drawPercentiles, percentilesOf } from './percentiles.mjs';

export const PER_SECOND = 16_000;

/** Long enough that the slowest hundredth is more than a few tasks. */
const ROUND = 1_000;

/** The rest of the time is for sides that have not kept up, and have tasks left to do. */
const PART = 0.6;

/**
 * What a side of a row returns: how it runs one task. `runOne` resolves to the task's value, that of `timedSha256`.
 * At the end of a run the tasks that are left are waited for; there are no more of them than arrived in the run.
 */
export function byTheClock(runOne) {
  return {
    async run({ perSecond, milliseconds, expected }) {
      const total = Math.max(1, Math.round((perSecond * milliseconds) / 1_000));
      const [sinceAdded, sinceDue] = [new Float64Array(total), new Float64Array(total)];
      const spent = watchMainThread();
      const began = monotonicMs();
      let [added, done, backlog] = [0, 0, 0];

      async function runAt(place, dueAt) {
        const addedAt = monotonicMs();
        const [startedAt, hash] = (await runOne()).split(' ');
        if (hash !== expected) throw new Error(`Expected the task to return ${expected}, got ${hash}.`);
        sinceAdded[place] = Number(startedAt) - addedAt;
        sinceDue[place] = Number(startedAt) - dueAt;
        done += 1;
      }

      await new Promise((resolve, reject) => {
        const settle = () => done === total && resolve();
        const timer = setInterval(
          () => {
            const due = Math.min(total, 1 + Math.floor(((monotonicMs() - began) * perSecond) / 1_000));
            for (; added < due; added += 1) {
              runAt(added, began + (added * 1_000) / perSecond).then(settle, reject);
            }
            if (added < total) return;
            clearInterval(timer);
            backlog = added - done;
          },
          Math.max(1, 1_000 / perSecond),
        );
      });
      const seconds = (monotonicMs() - began) / 1_000;
      const { cpu, active } = spent();
      return {
        tasks: total,
        throughput: total / seconds,
        cpu: cpu / total,
        active: active / total,
        backlog,
        dueToStart: percentilesOf(sinceDue).p99,
        ...percentilesOf(sinceAdded),
      };
    },
  };
}

/** The figures of a row whose sides are made by {@link byTheClock}. */
export async function compareArrivals(row, settings, { others, expected, ...texts }) {
  async function measure(side, milliseconds) {
    const { tasks, ...sample } = await side.call('run', { perSecond: PER_SECOND, milliseconds, expected });
    return { operations: tasks, ...sample };
  }

  const stretched = stretch(settings, { sides: 2 + others.length, roundMs: ROUND, part: PART });
  const samples = await interleave(row, stretched, measure, { others });
  return {
    figures: [
      { what: 'p99 from add to start', unit: 'ms', ...pick(samples, 'p99') },
      { what: 'p50 from add to start', unit: 'ms', ...pickTwo(samples, 'p50') },
      { what: 'longest from add to start', unit: 'ms', ...pickTwo(samples, 'max') },
      { what: 'p99 from due to start', unit: 'ms', ...pickTwo(samples, 'dueToStart') },
      { what: 'tasks left when the last has come', unit: 'tasks', ...pick(samples, 'backlog') },
      { what: "main thread's CPU a task", unit: 'µs', ...pick(samples, 'cpu') },
      { what: 'event loop active, a task', unit: 'µs', ...pickTwo(samples, 'active') },
    ],
    plot: drawPercentiles(samples, { ...texts, label: 'From add to start (ms)' }),
  };
}
