import { fileURLToPath } from 'node:url';
import { backgroundTasks, blocking } from 'express-background-tasks';
import { Piscina } from 'piscina';
import { compareTurns, oneAtATime } from '../support/turns.mjs';
import { sha256 } from '../tasks/hash.mjs';

export const row = {
  title: 'one blocking task at a time',
  what: 'The SHA-256 of 1 KB in a single worker thread, from adding a task to having its result; the next is added when the one before has settled.',
  rival: '`piscina.run` by hand',
  toReach: { atMost: 1.15 },
};

const url = new URL('../tasks/hash.mjs', import.meta.url);
const data = new Uint8Array(1024).fill(1);

export function ours() {
  const background = backgroundTasks({ pool: { maxThreads: 1 } });
  const hash = blocking(url);
  return oneAtATime(async () => (await background.add(hash.sha256, data).settled).value);
}

export function rival() {
  const pool = new Piscina({
    filename: fileURLToPath(url),
    minThreads: 1,
    maxThreads: 1,
    recordTiming: false,
    concurrentTasksPerWorker: 1,
    atomics: 'sync',
  });
  return oneAtATime(() => pool.run(data));
}

export const measure = (settings) => compareTurns(import.meta.url, settings, sha256(data));
