// BullMQ by hand: a job that is delayed for a minute, and promoted.
import { Queue, Worker } from 'bullmq';
import Redis from 'ioredis';

const HOLD = 60_000;

export async function openProducer({ url, queue: name }) {
  const queue = new Queue(name, { connection: new Redis(url, { maxRetriesPerRequest: 1 }) });
  await queue.waitUntilReady();
  const keep = { removeOnComplete: { age: 3_600, count: 10_000 }, removeOnFail: { age: 604_800, count: 10_000 } };
  return {
    stage: (key, more) => queue.add('note', { key }, { jobId: key, delay: HOLD, attempts: 3, ...keep, ...more }),
    release: (job) => job.promote(),
  };
}

export async function openWorker({ url, queue }, run, concurrency) {
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  await new Worker(queue, ({ data }) => run(data.key), { connection, concurrency }).waitUntilReady();
}
