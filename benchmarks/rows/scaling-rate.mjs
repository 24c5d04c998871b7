import { byTheClock } from '../support/arrivals.mjs';
import { bothLines, compareCurves, LINEAR } from '../support/curves.mjs';
import { expected, runners, TASK, rival as theirs } from '../support/small-tasks.mjs';

const THREADS = 2;
const POINTS = [10, 100, 1_000, 10_000, 100_000];

export const row = {
  title: 'scaling: tasks a second',
  what: `Small blocking tasks, each ${TASK}, are added by the clock, as in \`open-loop\`, at ${POINTS[0]} to ${POINTS.at(-1).toLocaleString('en')} a second. The main thread's CPU a task ${LINEAR}. Tasks that are not done in time are done afterwards: then fewer tasks a second are done than added. ${THREADS} threads.`,
  rival: theirs,
  toReach: {},
};

function by(runner) {
  return () => {
    const run = runner(THREADS);
    return byTheClock(() => run('timedSha256'));
  };
}

export const ours = by(runners.ours);
export const rival = by(runners.rival);

export const measure = (settings) =>
  compareCurves(import.meta.url, settings, {
    points: POINTS,
    roundMs: 1_000,
    part: 0.7,
    runPoint: (side, perSecond, milliseconds) => side.call('run', { perSecond, milliseconds, expected }),
    costs: [{ what: "main thread's CPU a task", unit: 'µs', key: 'cpu' }],
    title: 'Small blocking tasks by the clock',
    subtitle: `Each is ${TASK}. ${THREADS} threads. Medians over the rounds.`,
    xLabel: 'tasks added a second',
    panels: [
      { label: "Main thread's CPU a task (µs)", lines: bothLines('cpu', 'Piscina') },
      { label: 'p99 from add to start (ms)', lines: bothLines('p99', 'Piscina') },
      { label: 'Tasks done a second', lines: bothLines('throughput', 'Piscina') },
    ],
  });
