// The small blocking task of several rows, run by ours and by the pools that it is compared with.
import { backgroundTasks, blocking } from 'express-background-tasks';
import { sha256 as hash } from '../tasks/hash.mjs';
import * as pools from './pools.mjs';

export const TASK = 'the SHA-256 of 1 KB';
const data = new Uint8Array(1024).fill(1);
export const expected = hash(data);

const tasks = blocking(new URL('../tasks/hash.mjs', import.meta.url));

/** Each takes a number of threads, and returns a function that runs the task of a name and resolves to its value. */
export const runners = {
  ours: (threads) => runOurs({ minThreads: threads, maxThreads: threads }),
  oursOfEqualPriority: (threads) => runOurs({ minThreads: threads, maxThreads: threads, niceIncrement: 0 }),
  rival: by(pools.plainPiscina),
  bestPiscina: by(pools.piscina),
  tinypool: by(pools.tinypool),
  workerpool: by(pools.workerpool),
  poolifier: by(pools.poolifier),
};

function runOurs(pool) {
  const background = backgroundTasks({ pool, maxBacklog: 1_000_000 });
  return async (name) => (await background.add(tasks[name], data).settled).value;
}

function by(pool) {
  return (threads) => {
    const run = pool(threads);
    return (name) => run(name, data);
  };
}

/** Their names in the texts of a row. */
export const rival = '`piscina.run` by hand';
export const others = {
  bestPiscina: 'Piscina, the fastest of its settings',
  tinypool: 'tinypool',
  workerpool: 'workerpool',
  poolifier: 'poolifier',
};

/** The names of all sides in plots. */
export const labels = { ours: 'ours', rival: 'Piscina', ...others, bestPiscina: 'Piscina, fastest' };
