/** Tasks as pgBoss() is given them. */
import { randomUUID } from 'node:crypto';
import type { StagedTask, TaskEngine } from 'express-background-tasks';

const LONG_HOLD = 600_000;

export type Tasks = readonly StagedTask[];

export function idsOf(tasks: Tasks): readonly string[] {
  return tasks.map(({ envelope }) => envelope.id);
}

export interface TaskWish {
  readonly id?: string;
  readonly args?: readonly unknown[];
  readonly holdMs?: number;
  readonly retry?: Partial<StagedTask['retry']>;
}

export function makeTask({ id = randomUUID(), args = [], holdMs = LONG_HOLD, retry }: TaskWish = {}): StagedTask {
  return {
    envelope: { v: 1, id, task: 'a.task', args },
    holdMs,
    priority: 0,
    retry: { attempts: 1, delay: 1, factor: 1, maxDelay: LONG_HOLD, jitter: 0, ...retry },
  };
}

export async function stageOne(engine: TaskEngine, wish?: TaskWish): Promise<string> {
  const task = makeTask(wish);
  await engine.stage([task], {});
  return task.envelope.id;
}
