// Runs two sides by turns, so that whatever else the machine does meets both.
import { start } from './processes.mjs';

/** How often both sides are started anew: two processes of the same code differ by a per cent or two for their whole life. */
const GENERATIONS = 4;

/** What a slow machine may spend on one warm-up, in milliseconds. */
const LONGEST_WARM_UP = 8_000;

/**
 * Both sides of a row in processes of their own: async hooks, the compiler's decisions and the heap of one are not
 * the other's. A round measures each once; the order is A B, B A, A B, …
 *
 * @param row the URL of a module with the exports `ours` and `rival`.
 * @param settings `rounds` in all, `roundMs` for each side of one, and the `warmUp`, in operations, before the first.
 * @param measure `(side, milliseconds) => sample`, a flat object of numbers, `operations` among them.
 * @returns the samples of both sides, of the same round at the same index.
 */
export async function interleave(row, { rounds, roundMs, warmUp }, measure, options) {
  const samples = { ours: [], rival: [] };

  async function warm(side) {
    const deadline = performance.now() + LONGEST_WARM_UP;
    for (let done = 0; done < warmUp && performance.now() < deadline; ) {
      done += (await measure(side, roundMs)).operations;
    }
  }

  const generations = Math.min(GENERATIONS, rounds);
  for (let generation = 1; generation <= generations; generation += 1) {
    const sides = { ours: await start(row, 'ours', options), rival: await start(row, 'rival', options) };
    try {
      await warm(sides.ours);
      await warm(sides.rival);
      const end = Math.round((rounds * generation) / generations);
      for (let round = samples.ours.length; round < end; round += 1) {
        const order = round % 2 === 0 ? ['ours', 'rival'] : ['rival', 'ours'];
        for (const name of order) samples[name].push(await measure(sides[name], roundMs));
      }
    } finally {
      await Promise.all([sides.ours.end(), sides.rival.end()]);
    }
  }
  return samples;
}

/** One number of every sample, for a figure of the results. */
export function pick(samples, key) {
  return { ours: samples.ours.map((sample) => sample[key]), rival: samples.rival.map((sample) => sample[key]) };
}
