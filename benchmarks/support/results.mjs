// From samples to results, and from results to a table.
import { median, spread } from './statistics.mjs';

/**
 * What is kept of a row: medians over the rounds, and the ratio of each round with its spread. The first figure decides.
 *
 * @param facts what was counted beside the figures, as text.
 */
export function resultOf({ title, what, rival, toReach }, figures, facts) {
  const measured = figures.map(({ what: figure, unit, isInverse = false, ours, rival: rivals }) => ({
    what: figure,
    unit,
    ours: rounded(median(ours)),
    rival: rounded(median(rivals)),
    ratio: spreadOf(ours.map((value, round) => (isInverse ? rivals[round] / value : value / rivals[round]))),
    rounds: ours.length,
  }));
  return {
    title,
    what,
    rival,
    toReach,
    isReached: isReached(measured[0].ratio.median, toReach),
    figures: measured,
    ...(facts === undefined ? {} : { facts }),
  };
}

/** Ratios are read, and compared, to three places. */
function spreadOf(ratios) {
  const { median: middle, q1, q3 } = spread(ratios);
  return { median: round3(middle), q1: round3(q1), q3: round3(q3) };
}

const round3 = (value) => Math.round(value * 1_000) / 1_000;
const rounded = (value) => Number(value.toPrecision(4));

function isReached(ratio, { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }) {
  return ratio >= atLeast && ratio <= atMost;
}

export const HEADINGS = ['row', 'figure', 'ours', 'rival', 'ratio [q1..q3]', 'to reach', 'reached'];

/** A line for each figure; what is to be reached stands at the first. */
export function lines(results) {
  return Object.entries(results).flatMap(([name, { toReach, isReached: reached, figures }]) =>
    figures.map(({ what, unit, ours, rival, ratio }, index) => [
      index === 0 ? name : '',
      `${what} (${unit})`,
      ours.toLocaleString('en'),
      rival.toLocaleString('en'),
      `${ratio.median.toFixed(3)} [${ratio.q1.toFixed(3)}..${ratio.q3.toFixed(3)}]`,
      ...(index === 0 ? verdictOn(toReach, reached) : ['', '']),
    ]),
  );
}

/** A row without a limit is there to compare others with. */
function verdictOn({ atLeast, atMost }, reached) {
  if (atLeast === undefined && atMost === undefined) return ['', ''];
  return [atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`, reached ? 'yes' : 'no'];
}

export function table(results) {
  const rows = [HEADINGS, ...lines(results)];
  const widths = HEADINGS.map((_heading, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
