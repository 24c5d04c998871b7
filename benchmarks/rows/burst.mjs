import { BURST, compareBursts, inBursts } from '../support/bursts.mjs';
import { expected, labels, others, runners, TASK, rival as theirs } from '../support/small-tasks.mjs';

const THREADS = 2;

export const row = {
  title: 'bursts of small blocking tasks',
  what: `${BURST.toLocaleString('en')} tasks are added at once, each ${TASK}; when all have settled and every result has been checked, the next burst is added. ${THREADS} threads. How long one task takes is measured in rounds of its own, since that costs something too.`,
  rival: theirs,
  others,
  toReach: { atLeast: 5 },
};

function by(runner) {
  return () => {
    const run = runner(THREADS);
    return inBursts(() => run('sha256'));
  };
}

export const ours = by(runners.ours);
export const rival = by(runners.rival);
export const bestPiscina = by(runners.bestPiscina);
export const tinypool = by(runners.tinypool);
export const workerpool = by(runners.workerpool);
export const poolifier = by(runners.poolifier);

export const measure = (settings) =>
  compareBursts(import.meta.url, settings, {
    expected,
    others: Object.keys(others),
    cpuToReach: { atMost: 0.25 },
    title: 'Bursts of small blocking tasks',
    subtitle: `${BURST.toLocaleString('en')} at once, each ${TASK}; ${THREADS} threads. Medians over the rounds.`,
    labels,
  });
