// How a cost grows with a number: a row measures both sides at every point of a curve.
import { interleave, pick, stretch } from './interleave.mjs';
import { plot } from './plot.mjs';
import { median } from './statistics.mjs';

/**
 * Ten times as many may cost ten times as much, so the cost of one should not grow. This is the factor by which it may grow
 * from a point to the next, since two measurements of the same thing differ too. Growth of the rival's cost is attributed to
 * the machine, and allowed in addition.
 */
export const LARGEST_STEP = 1.5;

export const LINEAR = `may grow from one point to the next by a factor of at most ${LARGEST_STEP}, or, where the rival's grows too, of ${LARGEST_STEP} times the rival's`;

/**
 * @param points the numbers at which it is measured; `text` says how one is written.
 * @param runPoint `(side, point, milliseconds) => values`, an object of numbers.
 * @param costs each with its `key` in the values, the text `what` and the `unit`. `ofOne(value, point)` is the cost of
 * one, where the value is not that already; points for which it is `undefined` are not compared.
 * @param panels of the plot: a `label` and `lines`, each a `name`, a `side` and a `key`.
 * @param roundMs how long a point is measured at a time, and `part` the share of the time that this takes, where there
 * is other work in between.
 * @param options for the processes of the sides.
 */
export async function compareCurves(
  row,
  settings,
  { points, text = format, runPoint, costs, panels, roundMs, part = 1, options, ...drawing },
) {
  async function measure(side, milliseconds) {
    const at = [];
    for (const point of points) at.push(await runPoint(side, point, milliseconds));
    return { operations: 1, at };
  }

  const stretched = { ...stretch(settings, { sides: 2 * points.length, roundMs, part }), warmUp: 1 };
  const samples = await interleave(row, stretched, measure, options);
  const atPoint = (place, key) =>
    pick(
      Object.fromEntries(Object.entries(samples).map(([side, list]) => [side, list.map(({ at }) => at[place])])),
      key,
    );
  const curve = (side, key) => points.map((_point, place) => median(atPoint(place, key)[side]));

  const steps = costs.map((cost) => ({
    what: cost.what,
    ...worstStep(points, curve('ours', cost.key), curve('rival', cost.key), cost.ofOne),
  }));
  return {
    figures: [
      ...steps.map(({ what, ours, rival, limit, to }) => ({
        what: `${what}: largest growth of the cost of one, at ${text(to)}`,
        unit: '×',
        toReach: { atMost: limit, unit: '×' },
        ours: [ours],
        rival: [rival],
      })),
      ...costs.flatMap(({ what, unit, key }) =>
        points.map((point, place) => ({ what: `${what}, ${text(point)}`, unit, ...atPoint(place, key) })),
      ),
    ],
    facts: steps.map(
      ({ what, from, to, ...step }) =>
        `${what}: ${verdictOn(step)} (the cost of one at ${text(to)} is ${step.ours.toFixed(2)} times that at ${text(from)}, the rival's ${step.rival.toFixed(2)} times)`,
    ),
    plot: plot({
      isXLog: true,
      xTicks: points.map((point) => [drawing.place?.(point) ?? point, text(point)]),
      ...drawing,
      panels: panels.map(({ lines, ...panel }) => ({
        isLog: true,
        ...panel,
        series: lines.map(({ name, side, key }) => ({
          name,
          points: curve(side, key).map((value, place) => [drawing.place?.(points[place]) ?? points[place], value]),
        })),
      })),
    }),
  };
}

function verdictOn({ ours, limit }) {
  if (ours <= LARGEST_STEP) return 'no step is worse than linear';
  return ours <= limit ? "a step is worse than linear, and the rival's as well" : 'a step is worse than linear';
}

/** The same value of both sides, for a panel. */
export const bothLines = (key, rival) => [
  { name: 'ours', side: 'ours', key },
  { name: rival, side: 'rival', key },
];

/** The step in which ours grows most, relative to its limit. */
function worstStep(points, ours, rival, ofOne = (value) => value) {
  const compared = points
    .map((point, place) => ({ point, ours: ofOne(ours[place], point), rival: ofOne(rival[place], point) }))
    .filter((one) => one.ours !== undefined);
  return compared
    .slice(1)
    .map((one, place) => {
      const before = compared[place];
      const theirs = one.rival / before.rival;
      const limit = Math.round(LARGEST_STEP * Math.max(1, theirs) * 1_000) / 1_000;
      return { from: before.point, to: one.point, ours: one.ours / before.ours, rival: theirs, limit };
    })
    .reduce((worst, step) => (step.ours / step.limit > worst.ours / worst.limit ? step : worst));
}

const format = (point) => point.toLocaleString('en');
