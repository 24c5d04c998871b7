// From samples to results, and from results to a table.
import { median, spread } from './statistics.mjs';

/**
 * The result of a row: medians over the rounds, and the rounds' ratios with their spread. The first figure decides.
 *
 * @param figures each with the samples of `ours`, of `rival` and of further sides by their names, and perhaps what it is
 * to reach, `toReach`; the row's is that of the first.
 * @param facts what was counted beside the figures, as text.
 */
export function resultOf({ title, what, rival, others: labels = {}, toReach }, figures, facts) {
  const measured = figures.map(
    ({ what: figure, unit, isInverse = false, toReach: own, ours, rival: rivals, ...others }) => {
      const against = (theirs) => ({
        rival: rounded(median(theirs)),
        ratio: spreadOf(ours.map((value, round) => (isInverse ? theirs[round] / value : value / theirs[round]))),
      });
      const result = {
        what: figure,
        unit,
        ours: rounded(median(ours)),
        ...against(rivals),
        rounds: ours.length,
      };
      if (own !== undefined) Object.assign(result, { toReach: own, isReached: isReached(result, own) });
      const further = Object.entries(others).map(([name, theirs]) => ({ name: labels[name], ...against(theirs) }));
      return further.length === 0 ? result : { ...result, others: further };
    },
  );
  return {
    title,
    what,
    rival,
    ...(Object.keys(labels).length === 0 ? {} : { others: Object.values(labels) }),
    toReach: measured[0].toReach ?? toReach,
    isReached: measured[0].isReached ?? isReached(measured[0], toReach),
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

/** Where a `unit` is given it is our own figure that has a limit, not the ratio. */
function isReached({ ours, ratio }, { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY, unit }) {
  const value = unit === undefined ? ratio.median : ours;
  return value >= atLeast && value <= atMost;
}

export const HEADINGS = ['row', 'figure', 'ours', 'rival', 'ratio [q1..q3]', 'target', 'reached'];

/** A line for each figure and each rival; the target is for the first rival. */
export function lines(results) {
  return Object.entries(results).flatMap(([name, { toReach, figures }]) =>
    figures.flatMap(({ what, unit, ours, others = [], ...figure }, index) => {
      const limit = (index === 0 ? toReach : figure.toReach) ?? {};
      return [
        [index === 0 ? name : '', `${what} (${unit})`, ...comparison(ours, figure), ...verdict(ours, figure, limit)],
        ...others.map((other) => [
          '',
          `… against ${other.name}`,
          ...comparison(ours, other),
          '',
          verdict(ours, other, limit.unit === undefined ? limit : {})[1],
        ]),
      ];
    }),
  );
}

/** The figure that decides a row, its target, and whether it is reached. */
export function decisive({ toReach, figures: [{ ours, ratio, unit }] }) {
  const [limit, reached] = verdict(ours, { ratio }, toReach ?? {});
  const value = toReach?.unit === undefined ? ratio.median.toFixed(3) : `${ours.toLocaleString('en')} ${unit}`;
  return { limit, value, isReached: reached !== 'no' };
}

function comparison(ours, { rival, ratio }) {
  return [
    ours.toLocaleString('en'),
    rival.toLocaleString('en'),
    `${ratio.median.toFixed(3)} [${ratio.q1.toFixed(3)}..${ratio.q3.toFixed(3)}]`,
  ];
}

/** A figure without a target is there for comparison. */
function verdict(ours, { ratio }, toReach) {
  const { atLeast, atMost, unit } = toReach;
  if (atLeast === undefined && atMost === undefined) return ['', ''];
  const limit = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
  return [unit === undefined ? limit : `${limit} ${unit}`, isReached({ ours, ratio }, toReach) ? 'yes' : 'no'];
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
