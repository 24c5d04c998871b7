import { measureEngine } from '../support/engine-round-trips.mjs';
import { noRedis, startRedis } from '../support/engine-servers.mjs';

export { careful, ours, rival } from '../support/engine-sides.mjs';

export const row = {
  title: 'a durable task on Redis',
  what: 'An Express handler stages a task in Redis and awaits that, the response ends, the task is released, and a worker in another process starts it: one request at a time, then 25 at once. By hand it is `queue.add` with a delay, `job.promote()` on `finish`, and a Worker with the same concurrency. The further rival is by hand as well, and does what this package promises beyond that: it passes on a copy that is JSON, limits each call in time, gives each job a priority, and has its release from on-finished, behind a middleware that does nothing.',
  rival: 'BullMQ by hand',
  others: { careful: 'BullMQ by hand, with these' },
  toReach: { atMost: 1.15 },
};

export const cannotRun = noRedis;

export const measure = (settings) => measureEngine(import.meta.url, settings, startRedis, ['careful']);
