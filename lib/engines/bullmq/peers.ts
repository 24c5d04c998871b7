/** The only import of bullmq and of ioredis. */
import type * as BullMQ from 'bullmq';
import type * as IORedis from 'ioredis';
import { requirePeer } from '../peer.ts';

const ENTRY = 'express-background-tasks/bullmq';
const INSTALL = 'bullmq ioredis';

export const { Job, Queue, Worker, DelayedError, UnrecoverableError }: typeof BullMQ = requirePeer(
  ENTRY,
  'bullmq',
  INSTALL,
);
export const { Redis }: typeof IORedis = requirePeer(ENTRY, 'ioredis', INSTALL);

/** Such as `6.7.0`. */
export const bullmqVersion: string = requirePeer<{ version: string }>(ENTRY, 'bullmq/package.json', INSTALL).version;
