import { backgroundTasks, blocking } from 'express-background-tasks';
import { compareBacklogs, holding, TASKS } from '../support/backlog.mjs';
import { bestPiscina } from '../support/pools.mjs';

export const row = {
  title: `${TASKS.toLocaleString('en')} waiting tasks`,
  what: `While the only thread is kept busy, ${TASKS.toLocaleString('en')} small blocking tasks, each with a number as its argument, are added, some hundreds in each turn of the event loop. Then the thread is released, and all of them run. The heap is measured after a garbage collection; a pause is the time between two ticks of a 1 ms timer, and the longest of all rounds counts.`,
  rival: "Piscina's queue",
  toReach: { atMost: 600, unit: 'bytes' },
};

const LONGEST_PAUSE = 50;

export function ours() {
  const background = backgroundTasks({ pool: { maxThreads: 1 }, maxBacklog: 2 * TASKS });
  const { hold, nothing } = blocking(new URL('../tasks/waiting.mjs', import.meta.url));
  return holding({
    hold: (gate) => background.add(hold, gate),
    add: (number) => background.add(nothing, number),
    completed: () => background.stats().outcomes.completed,
    whenDone: () => background.idle(),
    mustEnd: true,
  });
}

export function rival() {
  const pool = bestPiscina(1, 'waiting.mjs');
  return holding({
    hold: (gate) => pool.run(gate, { name: 'hold' }),
    add: (number) => pool.run(number, { name: 'nothing' }),
    completed: () => pool.completed,
    whenDone: (tasks) =>
      new Promise((resolve) => {
        const timer = setInterval(() => {
          if (pool.completed < tasks) return;
          clearInterval(timer);
          resolve();
        }, 1);
      }),
  });
}

export const measure = (settings) => compareBacklogs(import.meta.url, settings, { longestPause: LONGEST_PAUSE });
