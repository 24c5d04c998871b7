import { backgroundTasks, blocking } from 'express-background-tasks';
import { bothLines, compareCurves, LINEAR } from '../support/curves.mjs';
import { defaultPiscina } from '../support/pools.mjs';
import { queueing } from '../support/queueing.mjs';

const POINTS = [1_000, 5_000, 25_000];
const PRIORITIES = 8;

export const row = {
  title: 'scaling: waiting tasks',
  what: `While the only thread is kept busy, ${POINTS[0].toLocaleString('en')} to ${POINTS.at(-1).toLocaleString('en')} blocking tasks are added, ours with ${PRIORITIES} priorities in turn, and a thousand of them, from all over the queue, are cancelled. Then the rest run. The time to add one, and the time to cancel one, ${LINEAR}.`,
  rival: "Piscina's queue, an AbortController for each task, no priorities",
  toReach: {},
};

export function ours() {
  const background = backgroundTasks({ pool: { maxThreads: 1 }, maxBacklog: 2 * POINTS.at(-1), logger: false });
  const { hold, nothing } = blocking(new URL('../tasks/waiting.mjs', import.meta.url));
  const adders = Array.from({ length: PRIORITIES }, (_, priority) => background.with({ priority }));
  return queueing({
    hold: (gate) => background.add(hold, gate),
    add: (number) => adders[number % PRIORITIES].add(nothing, number),
    cancel: (handle) => handle.cancel(),
    whenDrained: () => background.idle(),
  });
}

export function rival() {
  const pool = defaultPiscina(1, 'waiting.mjs');
  const running = new Set();
  const run = (value, options) => {
    const ended = pool.run(value, options).catch(() => {});
    running.add(ended);
    ended.finally(() => running.delete(ended));
  };
  return queueing({
    hold: (gate) => run(gate, { name: 'hold' }),
    add(number) {
      const controller = new AbortController();
      run(number, { name: 'nothing', signal: controller.signal });
      return controller;
    },
    cancel: (controller) => controller.abort(),
    whenDrained: () => Promise.all(running),
  });
}

export const measure = (settings) =>
  compareCurves(import.meta.url, settings, {
    points: POINTS,
    roundMs: 1_000,
    part: 0.5,
    runPoint: (side, number) => side.call('run', number),
    costs: [
      { what: 'add', unit: 'µs', key: 'add' },
      { what: 'cancel', unit: 'µs', key: 'cancel' },
    ],
    title: 'Waiting tasks',
    subtitle: 'One thread, which is held until all have been added, and a thousand cancelled. Medians over the rounds.',
    xLabel: 'tasks that wait',
    panels: [
      { label: 'To add one (µs)', lines: bothLines('add', 'Piscina') },
      { label: 'To cancel one (µs)', lines: bothLines('cancel', 'Piscina') },
    ],
  });
