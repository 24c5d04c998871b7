/** Adds jobs to the queue: all of them or none. */
import type { Queue } from 'bullmq';
import type { EngineClient } from './client.ts';
import type { JobData, NewJob } from './job.ts';
import { Job } from './peers.ts';

export async function stageJobs(queue: Queue<JobData>, client: EngineClient, jobs: readonly NewJob[]): Promise<void> {
  const [first] = jobs;
  if (first === undefined) return;
  if (jobs.length === 1) await queue.add(first.name, first.data, first.opts);
  else await addAll(queue, client, jobs);
}

/** In a transaction of Redis, which BullMQ's own addBulk is not. */
async function addAll(queue: Queue<JobData>, client: EngineClient, jobs: readonly NewJob[]): Promise<void> {
  const transaction = (await queue.getBackend().client).multi();
  // These promises resolve when the commands are in the transaction. What Redis says of them is in the results.
  await Promise.all(
    jobs.map(({ name, data, opts }) => new Job(queue, name, data, opts, opts.jobId).addJob(transaction)),
  );
  const results = (await transaction.exec()) ?? [];
  const error = results.find(([thrown]) => thrown)?.[0];
  if (error === undefined || error === null) return;
  // Redis was told to forget its scripts. Outside of a transaction they are sent again; by their ids these are the same tasks.
  if (error.message.includes('NOSCRIPT') && client.status === 'ready') {
    await queue.addBulk([...jobs]);
    return;
  }
  throw error;
}
