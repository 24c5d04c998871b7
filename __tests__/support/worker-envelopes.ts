/** What reaches a worker without a web process of this package: staged in an engine in memory, or handed over as an engine does. */
import { randomUUID } from 'node:crypto';
import {
  createWorker,
  type StagedTask,
  type WorkContext,
  type WorkerOptions,
  type WorkFunction,
  type WorkResult,
} from 'express-background-tasks';
import { type MemoryEngine, memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd } from './cleanup.ts';
import { connected } from './worker-setting.ts';

/** A message as another version of the package, or another program, may have written it. */
export async function stage(engine: MemoryEngine, envelope: object): Promise<{ id: string }> {
  const connection = await connected(engine);
  const id = randomUUID();
  const retry = { attempts: 3, delay: 1, factor: 1, maxDelay: 1, jitter: 0 };
  const task = { holdMs: 0, priority: 0, retry, envelope: { v: 1, id, task: 'tasks.echo', args: [], ...envelope } };
  await connection.stage([task as StagedTask], {});
  return { id };
}

/** Hands tasks to a worker as an engine does, and resolves to what it answers. */
export async function handingTo(
  options: Partial<WorkerOptions>,
): Promise<(envelope: object, context?: Partial<WorkContext>) => Promise<WorkResult>> {
  let run!: WorkFunction;
  const engine = memoryEngine({
    intercept(method, proceed, args) {
      if (method === 'work') [run] = args as [WorkFunction];
      return proceed();
    },
  });
  const worker = await createWorker({ engine, logger: false, ...options });
  atEnd(() => worker.close({ timeout: 0 }));
  const { signal } = new AbortController();
  return (envelope, context) =>
    run(
      { v: 1, id: randomUUID(), task: 'local.echo', args: [], ...envelope },
      { attempt: 1, retryInMs: undefined, stagedAt: Date.now(), signal, ...context },
    );
}
