// How latencies are distributed: a few percentiles, and their plot.
import { plot } from './plot.mjs';
import { median } from './statistics.mjs';

/** The share of the values that lies below each, by its key in a sample. */
const FRACTIONS = { p50: 0.5, p90: 0.9, p99: 0.99, p999: 0.999, max: 1 };

const LABELS = { p50: '50 %', p90: '90 %', p99: '99 %', p999: '99.9 %', max: 'max' };

export function percentilesOf(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (fraction) => sorted[Math.ceil(fraction * sorted.length) - 1];
  return Object.fromEntries(Object.entries(FRACTIONS).map(([key, fraction]) => [key, at(fraction)]));
}

/** @param labels the plot's names for the sides that are drawn, by their names in `samples`. */
export function drawPercentiles(samples, { title, subtitle, label, labels, of = 'tasks' }) {
  const keys = Object.keys(FRACTIONS);
  return plot({
    title,
    subtitle,
    xLabel: `part of the ${of} that took no longer`,
    xTicks: keys.map((key, place) => [place, LABELS[key]]),
    panels: [
      {
        label,
        isLog: true,
        series: Object.entries(labels).map(([name, text]) => ({
          name: text,
          points: keys.map((key, place) => [place, median(samples[name].map((sample) => sample[key]))]),
        })),
      },
    ],
  });
}
