import { byTheClock, compareArrivals, PER_SECOND } from '../support/arrivals.mjs';
import { expected, labels, others, runners, TASK, rival as theirs } from '../support/small-tasks.mjs';

const THREADS = 2;

export const row = {
  title: `${PER_SECOND.toLocaleString('en')} small blocking tasks a second`,
  what: `Each is ${TASK}. They are added when they are due, whether or not earlier ones have finished. In all libraries a task returns the time at which it began, by a clock that the threads share. ${THREADS} threads; ours have a lower priority than those of the other libraries, unless \`niceIncrement\` says otherwise.`,
  rival: theirs,
  others: { ...others, equalPriority: 'this package with `niceIncrement: 0`' },
  toReach: { atMost: 0.2 },
};

function by(runner) {
  return () => {
    const run = runner(THREADS);
    return byTheClock(() => run('timedSha256'));
  };
}

export const ours = by(runners.ours);
export const rival = by(runners.rival);
export const bestPiscina = by(runners.bestPiscina);
export const tinypool = by(runners.tinypool);
export const workerpool = by(runners.workerpool);
export const poolifier = by(runners.poolifier);

export const equalPriority = by(runners.oursOfEqualPriority);

export const measure = (settings) =>
  compareArrivals(import.meta.url, settings, {
    title: row.title,
    subtitle: `Each is ${TASK}; ${THREADS} threads. Medians over the rounds.`,
    labels: { ...labels, equalPriority: 'ours, equal priority' },
    others: Object.keys(row.others),
    expected,
  });
