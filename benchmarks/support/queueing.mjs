// The time to put one more task into a queue, and to take one out of it, for queues of any length.

const A_SLICE = 500;
const CANCELLED = 1_000;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/**
 * What a side of a row returns.
 *
 * @param hold `(gate) => …` runs the task `hold` of tasks/waiting.mjs.
 * @param add `(number) => added`, the task `nothing`.
 * @param cancel takes what `add` returned.
 * @param whenDrained resolves when no task is left.
 */
export function queueing({ hold, add, cancel, whenDrained }) {
  return {
    /** With this number of tasks: microseconds to add one, and to cancel one. */
    async run(tasks) {
      const gate = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
      hold(gate);
      while (Atomics.load(gate, 0) === 0) await turn();

      const added = [];
      let adding = 0;
      while (added.length < tasks) {
        const startedAt = performance.now();
        for (const end = Math.min(tasks, added.length + A_SLICE); added.length < end; ) added.push(add(added.length));
        adding += performance.now() - startedAt;
        await turn();
      }

      const cancelled = Array.from({ length: CANCELLED }, (_, index) => added[Math.floor((index * tasks) / CANCELLED)]);
      const startedAt = performance.now();
      for (const one of cancelled) cancel(one);
      const cancelling = performance.now() - startedAt;

      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      await whenDrained();
      return { add: (adding * 1_000) / tasks, cancel: (cancelling * 1_000) / CANCELLED };
    },
  };
}
