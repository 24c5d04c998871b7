// Compares queues that hold very many tasks: the memory of one, and how long the event loop is blocked.
import { interleave, pick, stretch } from './interleave.mjs';

export const TASKS = 1_000_000;
const A_SLICE = 500;

/** How long a rival's queue may take to drain; tasks that are left then are dropped. A shorter round has fewer tasks, too. */
const ROUND = 10_000;
/** Ours has to be drained within this many times that time, or the row fails. */
const PATIENCE = 6;
/** Each in a process of its own, so that none starts with the heap of the one before. */
const MOST_ROUNDS = 2;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** The longest time between two ticks of a timer that is due every millisecond. */
function watchPauses() {
  let [last, longest] = [performance.now(), 0];
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  return () => {
    clearInterval(timer);
    look();
    return longest;
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
      const pauseWhileAdding = watchPauses();
      let adding = 0;
      for (let added = 0; added < tasks; ) {
        const startedAt = performance.now();
        for (const end = Math.min(tasks, added + A_SLICE); added < end; added += 1) add(added);
        adding += performance.now() - startedAt;
        await turn();
      }
      const addPause = pauseWhileAdding();
      globalThis.gc();
      const bytes = (process.memoryUsage().heapUsed - heapBefore) / tasks;

      const pauseWhileDraining = watchPauses();
      const releasedAt = performance.now();
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      const limit = milliseconds * (mustEnd ? PATIENCE : 1);
      const tooLate = new Promise((resolve) => setTimeout(resolve, limit).unref());
      await Promise.race([whenDone(tasks + 1), tooLate]);
      const seconds = (performance.now() - releasedAt) / 1_000;
      const drained = Math.min(tasks, completed());
      return {
        bytes,
        addPause,
        drainPause: pauseWhileDraining(),
        adding: (adding * 1_000) / tasks,
        drained,
        throughput: drained / seconds,
      };
    },
  };
}

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
    execArgv: ['--expose-gc', '--max-old-space-size=4096'],
  });
  const { ours, rival } = pick(samples, 'drained');
  if (ours.some((drained) => drained < tasks)) throw new Error(`Of ${tasks} tasks ${ours} have completed in time.`);
  const toReach = { atMost: longestPause, unit: 'ms' };
  return {
    figures: [
      { what: 'heap a waiting task', unit: 'bytes', ...pick(samples, 'bytes') },
      { what: 'longest pause while adding', unit: 'ms', toReach, ...longestOf(samples, 'addPause') },
      { what: 'longest pause while draining', unit: 'ms', toReach, ...longestOf(samples, 'drainPause') },
      { what: 'main thread for adding a task', unit: 'µs', ...pick(samples, 'adding') },
      { what: 'drained', unit: 'tasks/s', ...pick(samples, 'throughput') },
    ],
    facts: [
      `${tasks.toLocaleString('en')} tasks held, all drained`,
      `the rival had drained ${rival.map((drained) => drained.toLocaleString('en')).join(' and ')} within ${(roundMs / 1_000).toFixed(0)} s`,
    ],
  };
}
