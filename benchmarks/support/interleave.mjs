// Runs the sides of a row in turn, so that other activity of the machine affects all of them.
import { start } from './processes.mjs';

/** How often all sides are restarted: two processes of the same code differ by a per cent or two for their whole life. */
const GENERATIONS = 2;

/** A server under load keeps getting faster for some 60,000 requests. The longest time for one warm-up, in milliseconds, on a slow machine. */
const LONGEST_WARM_UP = 12_000;

/** The sides that every row has, by the names of its exports. */
const SIDES = 2;

/**
 * The sides of a row in processes of their own: async hooks, the compiler's decisions and the heap of one are not
 * the other's. A round measures each once; the order is A B, B A, A B, …
 *
 * @param row the URL of a module with the exports `ours`, `rival` and `others`, which are further sides.
 * @param settings `rounds` in all, `roundMs` for each side of one, and the `warmUp`, in operations, before the first, in
 * measurements of `warmUpMs`.
 * @param measure `(side, milliseconds) => sample`, a flat object of numbers, `operations` among them.
 * @returns the samples of every side, of the same round at the same index.
 */
export async function interleave(
  row,
  { rounds, roundMs, warmUp, warmUpMs = roundMs },
  measure,
  { others = [], generations: restarts = GENERATIONS, ...options } = {},
) {
  const names = ['ours', 'rival', ...others];
  const samples = Object.fromEntries(names.map((name) => [name, []]));

  async function warm(side) {
    const deadline = performance.now() + LONGEST_WARM_UP;
    for (let done = 0; done < warmUp && performance.now() < deadline; ) {
      done += (await measure(side, warmUpMs)).operations;
    }
  }

  const generations = Math.min(restarts, rounds);
  for (let generation = 1; generation <= generations; generation += 1) {
    const sides = {};
    try {
      for (const name of names) sides[name] = await start(row, name, options);
      for (const name of names) await warm(sides[name]);
      const end = Math.round((rounds * generation) / generations);
      for (let round = samples.ours.length; round < end; round += 1) {
        const order = round % 2 === 0 ? names : names.toReversed();
        for (const name of order) samples[name].push(await measure(sides[name], roundMs));
      }
    } finally {
      await Promise.all(Object.values(sides).map((side) => side.end()));
    }
  }
  return samples;
}

/** One number of every sample, for a figure of the results. */
export function pick(samples, key) {
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, list.map((sample) => sample[key])]));
}

/** The same for the two sides that decide, where the others would make a long table longer. */
export const pickTwo = ({ ours, rival }, key) => pick({ ours, rival }, key);

/**
 * The settings for a row with more than two sides, or with longer rounds, so that it takes as long as any other row.
 *
 * @param fewest the smallest number of rounds; they are shortened to reach it.
 * @param part the share of the time that is spent in the rounds, where there is other work between them.
 * @param times how many times as long as any other row it takes, where the rounds would be too few.
 */
export function stretch(
  { rounds, roundMs, warmUp },
  { sides = SIDES, roundMs: wanted = roundMs, fewest = 3, part = 1, times = 1 },
) {
  const share = SIDES / sides;
  const msOfASide = rounds * roundMs * share * part * times;
  const ms = Math.min(wanted, msOfASide / fewest);
  const stretched = { rounds: Math.max(fewest, Math.round(msOfASide / ms)), roundMs: ms };
  return { ...stretched, warmUp: warmUp * share, warmUpMs: Math.min(roundMs, ms) };
}
