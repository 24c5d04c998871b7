import { BURST, inBursts } from '../support/bursts.mjs';
import { bothLines, compareCurves, LINEAR } from '../support/curves.mjs';
import { expected, runners, TASK, rival as theirs } from '../support/small-tasks.mjs';

const POINTS = [1, 2, 4, 8];
const LONGER_BURST = 100;

export const row = {
  title: 'scaling: threads',
  what: `Bursts of small blocking tasks, as in \`burst\`, and of tasks that take some tenths of a millisecond, ${LONGER_BURST} at once, with 1 to 8 threads. More threads than cores do no more work; the time for a task ${LINEAR}.`,
  rival: theirs,
  toReach: {},
};

/** The pools are kept: idle threads cost nothing. */
function by(runner) {
  return () => {
    const pools = new Map();
    return {
      run({ threads, name, ...settings }) {
        if (!pools.has(threads)) pools.set(threads, runner(threads));
        return inBursts(() => pools.get(threads)(name)).run({ expected, ...settings });
      },
    };
  };
}

export const ours = by(runners.ours);
export const rival = by(runners.rival);

async function runPoint(side, threads, milliseconds) {
  const of = { threads, milliseconds: milliseconds / 2 };
  const small = await side.call('run', { ...of, name: 'sha256', burst: BURST });
  const longer = await side.call('run', { ...of, name: 'sha256Often', burst: LONGER_BURST });
  return {
    small: (small.seconds / small.tasks) * 1e6,
    cpu: small.cpu / small.tasks,
    longer: (longer.seconds / longer.tasks) * 1e6,
  };
}

export const measure = (settings) =>
  compareCurves(import.meta.url, settings, {
    points: POINTS,
    roundMs: 500,
    runPoint,
    costs: [
      { what: 'time for a small task', unit: 'µs', key: 'small' },
      { what: 'time for a longer task', unit: 'µs', key: 'longer' },
      { what: "main thread's CPU a small task", unit: 'µs', key: 'cpu' },
    ],
    title: 'Bursts of blocking tasks in more threads',
    subtitle: `Small: ${TASK}. Longer: 200 times as much. Medians over the rounds.`,
    xLabel: 'threads',
    panels: [
      { label: 'Time for a small task (µs)', isLog: false, lines: bothLines('small', 'Piscina') },
      { label: 'Time for a longer task (µs)', isLog: false, lines: bothLines('longer', 'Piscina') },
      { label: "Main thread's CPU a small task (µs)", isLog: false, lines: bothLines('cpu', 'Piscina') },
    ],
  });
