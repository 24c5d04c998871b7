// Compares two ways to run a task, one task at a time, by latency and by CPU time per task.
import { interleave, pick } from './interleave.mjs';
import { watchMainThread } from './main-thread.mjs';
import { percentilesOf } from './percentiles.mjs';

/** What a side of a row returns: how it runs one task. `runOne` resolves to the task's value. */
export function oneAtATime(runOne) {
  return {
    async run({ milliseconds, expected }) {
      const latencies = [];
      const spent = watchMainThread();
      const deadline = performance.now() + milliseconds;
      for (let now = performance.now(); now < deadline; ) {
        const value = await runOne();
        const settledAt = performance.now();
        if (value !== expected) throw new Error(`Expected the task to return ${expected}, got ${value}.`);
        latencies.push((settledAt - now) * 1_000);
        now = settledAt;
      }
      const { p50, p99, max } = percentilesOf(latencies);
      const { cpu: main, active } = spent();
      return { latency: p50, p99, max, main, active, tasks: latencies.length };
    },
  };
}

/** The figures of a row whose exports `ours` and `rival` are made by {@link oneAtATime}. */
export async function compareTurns(row, settings, expected) {
  async function measure(side, milliseconds) {
    const cpuBefore = await side.call('cpu');
    const { latency, p99, max, main, active, tasks } = await side.call('run', { milliseconds, expected });
    const cpu = (await side.call('cpu')) - cpuBefore;
    const aTask = { cpu: cpu / tasks, main: main / tasks, active: active / tasks };
    return { operations: tasks, latency, p99, max, ...aTask };
  }

  const samples = await interleave(row, settings, measure);
  return [
    { what: 'latency', unit: 'µs', ...pick(samples, 'latency') },
    { what: 'latency, p99', unit: 'µs', ...pick(samples, 'p99') },
    { what: 'latency, the longest', unit: 'µs', ...pick(samples, 'max') },
    { what: 'CPU a task, all threads', unit: 'µs', ...pick(samples, 'cpu') },
    { what: "main thread's CPU a task", unit: 'µs', ...pick(samples, 'main') },
    { what: 'event loop active, a task', unit: 'µs', ...pick(samples, 'active') },
  ];
}
