/** Tasks as bullmq() is given them. */
import { randomUUID } from 'node:crypto';
import type { StagedTask, TaskEnvelope } from 'express-background-tasks/testing/engine';

export const HELD = 600_000;

export function taskOf(wish: Partial<StagedTask> & { task?: string } = {}): StagedTask {
  const { task = 'mail.send', ...rest } = wish;
  const envelope: TaskEnvelope = { v: 1, id: randomUUID(), task, args: [] };
  return { envelope, holdMs: 0, priority: 0, retry: retryOf(1, 0), ...rest };
}

export function retryOf(attempts: number, delay: number): StagedTask['retry'] {
  return { attempts, delay, factor: 3, maxDelay: 60_000, jitter: 0 };
}
