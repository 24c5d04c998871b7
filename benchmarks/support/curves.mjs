// How the cost of something grows with its number: a row measures both sides at every point of a curve.
import { interleave, pick, stretch } from './interleave.mjs';
import { plot } from './plot.mjs';
import { median } from './statistics.mjs';

/**
 * Ten times as many may cost ten times as much. By what factor the cost of one may grow from a point to the next, all the
 * same: what is measured twice differs, too. Where the rival's grows as well, so much more is the machine's doing.
 */
export const LARGEST_STEP = 1.5;

export const LINEAR = `may not grow by more than ${LARGEST_STEP} from one to the next, or than ${LARGEST_STEP} times as much as the rival's`;

/**
 * @param points the numbers at which it is measured; `text` says how one is written.
 * @param runPoint `(side, point, milliseconds) => values`, an object of numbers.
 * @param costs each with its `key` in the values, the text `what` and the `unit`. `ofOne(value, point)` is what of it
 * belongs to one unit, where the value is not that already; points for which it is `undefined` are not compared.
 * @param panels of the plot: a `label` and `lines`, each a `name`, a `side` and a `key`.
 * @param roundMs how long a point is measured at a time, and `part` what of the time that is, where there is
 * other work between.
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
        what: `${what}: the cost of one grows, at most, at ${text(to)}`,
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

/** The step by which ours grows most, measured by what it may. */
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
