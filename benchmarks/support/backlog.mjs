// Compares queues that hold very many tasks: the memory of one, and how long the event loop is blocked.
import { interleave, pick, stretch } from './interleave.mjs';
import { watchMainThread } from './main-thread.mjs';
import { percentilesOf } from './percentiles.mjs';

export const TASKS = 1_000_000;
const A_SLICE = 500;

/** How long a rival's queue may take to drain; tasks that are left then are dropped. A shorter round has fewer tasks, too. */
const ROUND = 10_000;
/** Ours has to be drained within this many times that time, or the row fails. */
const PATIENCE = 6;
const MOST_ROUNDS = 4;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** The times between two ticks of a timer that is due every millisecond, and what the main thread spends meanwhile. */
function watchPauses() {
  const pauses = [];
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    pauses.push(now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  const spent = watchMainThread();
  return () => {
    clearInterval(timer);
    look();
    return { ...percentilesOf(pauses), ...spent() };
  };
}

/**
 * What a side of a row returns.
 *
 * @param hold `(gate) => …` runs the task `hold` of tasks/waiting.mjs.
 * @param add `(number) => …` adds the task `nothing`.
 * @param completed how many tasks have completed.
 * @param whenDone resolves when `completed()` has reached a number.
 * @param mustEnd whether the tasks have to be waited for.
 */
export function holding({ hold, add, completed, whenDone, mustEnd = false }) {
  return {
    async run({ tasks, milliseconds }) {
      const gate = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
      hold(gate);
      while (Atomics.load(gate, 0) === 0) await turn();

      globalThis.gc();
      const heapBefore = process.memoryUsage().heapUsed;
      const whileAdding = watchPauses();
      let adding = 0;
      for (let count = 0; count < tasks; ) {
        const startedAt = performance.now();
        for (const end = Math.min(tasks, count + A_SLICE); count < end; count += 1) add(count);
        adding += performance.now() - startedAt;
        await turn();
      }
      const added = whileAdding();
      globalThis.gc();
      const bytes = (process.memoryUsage().heapUsed - heapBefore) / tasks;

      const whileDraining = watchPauses();
      const releasedAt = performance.now();
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      const limit = milliseconds * (mustEnd ? PATIENCE : 1);
      const tooLate = new Promise((resolve) => setTimeout(resolve, limit).unref());
      await Promise.race([whenDone(tasks + 1), tooLate]);
      const seconds = (performance.now() - releasedAt) / 1_000;
      const drained = whileDraining();
      const done = Math.min(tasks, completed());
      return {
        bytes,
        adding: (adding * 1_000) / tasks,
        done,
        throughput: done / seconds,
        ...underNames(added, tasks, 'adding'),
        ...underNames(drained, done, 'draining'),
      };
    },
  };
}

/** The pauses of a while in which so many tasks were added, or done; and the microseconds that one took. */
const underNames = ({ p50, p99, max, cpu, active }, tasks, name) => ({
  [`${name}P50`]: p50,
  [`${name}P99`]: p99,
  [`${name}Max`]: max,
  [`${name}Cpu`]: cpu / tasks,
  [`${name}Active`]: active / tasks,
});

/** A limit for pauses is one for all rounds: the longest stands for each of them. */
function longestOf(samples, key) {
  return Object.fromEntries(
    Object.entries(pick(samples, key)).map(([side, values]) => [side, values.map(() => Math.max(...values))]),
  );
}

/** The figures of a row whose sides are made by {@link holding}. Ours has to be drained in time; the row fails otherwise. */
export async function compareBacklogs(row, settings, { longestPause }) {
  const { rounds, roundMs } = stretch(settings, { roundMs: ROUND, fewest: 1 });
  const tasks = Math.round(TASKS * (roundMs / ROUND));
  const measure = async (side, milliseconds) => ({
    operations: tasks,
    ...(await side.call('run', { tasks, milliseconds })),
  });

  const samples = await interleave(row, { rounds: Math.min(MOST_ROUNDS, rounds), roundMs, warmUp: 0 }, measure, {
    // Each round in processes of its own, so that none starts with the heap of the one before.
    generations: MOST_ROUNDS,
    execArgv: ['--expose-gc', '--max-old-space-size=4096'],
  });
  const { ours, rival } = pick(samples, 'done');
  if (ours.some((drained) => drained < tasks)) throw new Error(`Of ${tasks} tasks ${ours} have completed in time.`);
  const toReach = { atMost: longestPause, unit: 'ms' };
  return {
    figures: [
      { what: 'heap a waiting task', unit: 'bytes', ...pick(samples, 'bytes') },
      ...['adding', 'draining'].flatMap((name) => [
        { what: `longest pause while ${name}`, unit: 'ms', toReach, ...longestOf(samples, `${name}Max`) },
        { what: `pause while ${name}, p99`, unit: 'ms', ...pick(samples, `${name}P99`) },
        { what: `pause while ${name}, p50`, unit: 'ms', ...pick(samples, `${name}P50`) },
        { what: `main thread's CPU a task while ${name}`, unit: 'µs', ...pick(samples, `${name}Cpu`) },
        { what: `event loop active a task while ${name}`, unit: 'µs', ...pick(samples, `${name}Active`) },
      ]),
      { what: '`add` alone', unit: 'µs', ...pick(samples, 'adding') },
      { what: 'drained', unit: 'tasks/s', ...pick(samples, 'throughput') },
    ],
    facts: [
      `${tasks.toLocaleString('en')} tasks held, all drained`,
      `the rival had drained ${rival.map((drained) => drained.toLocaleString('en')).join(' and ')} within ${(roundMs / 1_000).toFixed(0)} s`,
    ],
  };
}
