/** The entry `express-background-tasks/bullmq`: durable tasks in Redis or Valkey, kept by BullMQ. */
export type { BullMQOptions, KeepOptions } from './engines/bullmq/options.ts';
export { bullmq } from './engines/bullmq.ts';
