// Compares two ways to run a task, one task at a time, by latency and by CPU time per task.
import { interleave, pick } from './interleave.mjs';
import { median } from './statistics.mjs';

/** What a side of a row returns: how it runs one task. `runOne` resolves to the task's value. */
export function oneAtATime(runOne) {
  return {
    async run({ milliseconds, expected }) {
      const latencies = [];
      const deadline = performance.now() + milliseconds;
      for (let now = performance.now(); now < deadline; ) {
        const value = await runOne();
        const settledAt = performance.now();
        if (value !== expected) throw new Error(`Expected the task to return ${expected}, got ${value}.`);
        latencies.push((settledAt - now) * 1_000);
        now = settledAt;
      }
      return { latency: median(latencies), tasks: latencies.length };
    },
  };
}

/** The figures of a row whose exports `ours` and `rival` are made by {@link oneAtATime}. */
export async function compareTurns(row, settings, expected) {
  async function measure(side, milliseconds) {
    const cpuBefore = await side.call('cpu');
    const { latency, tasks } = await side.call('run', { milliseconds, expected });
    const cpu = (await side.call('cpu')) - cpuBefore;
    return { operations: tasks, latency, cpu: cpu / tasks };
  }

  const samples = await interleave(row, settings, measure);
  return [
    { what: 'latency', unit: 'µs', ...pick(samples, 'latency') },
    { what: 'CPU a task, all threads', unit: 'µs', ...pick(samples, 'cpu') },
  ];
}
