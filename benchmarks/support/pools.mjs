// The pools of threads that ours is compared with, each by hand with the settings that were the fastest of those tried:
// bursts of 2,000 hashes of 1 KB in two threads, on Node 20 and 24. Each returns `run(name, data)`, where `name` is a
// function of tasks/hash.mjs.
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { FixedThreadPool } from 'poolifier';
import { Tinypool } from 'tinypool';
import threadsOfWorkerpool from 'workerpool';

const file = (name) => fileURLToPath(new URL(`../tasks/${name}`, import.meta.url));
const size = (threads) => ({ minThreads: threads, maxThreads: threads });

/** Tried: `atomics` each with 1, 2, 4, 16, 64 and 256 tasks a thread. Only with many tasks a thread is it fast, and then with `async`. */
const BEST = { recordTiming: false, atomics: 'async', concurrentTasksPerWorker: 256 };

export const bestPiscina = (threads, module) => new Piscina({ filename: file(module), ...size(threads), ...BEST });

export const piscina = (threads) => runIn(bestPiscina(threads, 'hash.mjs'));

/** Its defaults: a thread takes one task at a time, and the others wait in its queue. */
export const defaultPiscina = (threads, module) => new Piscina({ filename: file(module), ...size(threads) });

export const plainPiscina = (threads) => runIn(defaultPiscina(threads, 'hash.mjs'));

const runIn = (pool) => (name, data) => pool.run(data, { name });

/** Tried: atomics and none, each with 1, 16 and 64 tasks a thread. */
export function tinypool(threads) {
  return runIn(new Tinypool({ filename: file('hash.mjs'), ...size(threads), concurrentTasksPerWorker: 64 }));
}

/** It has no setting that makes a difference. */
export function workerpool(threads) {
  const options = { workerType: 'thread', minWorkers: threads, maxWorkers: threads };
  const pool = threadsOfWorkerpool.pool(file('for-workerpool.mjs'), options);
  return (name, data) => pool.exec(name, [data]);
}

/** Tried: ROUND_ROBIN and LEAST_USED, each without a queue and with one for 1, 16 and 64 tasks a thread. */
export function poolifier(threads) {
  const pool = new FixedThreadPool(threads, file('for-poolifier.mjs'), { enableEvents: false });
  return (name, data) => pool.execute(data, name);
}
