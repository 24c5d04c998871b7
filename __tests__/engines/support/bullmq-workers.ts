/** Workers on an engine that take so many tasks, or whose tasks end when they may. */
import type { TaskEngine, TaskEnvelope, WorkContext, WorkResult } from 'express-background-tasks/testing/engine';
import { makeGate } from '../../support/gates.ts';
import { COMPLETED } from './completed.ts';

/** A worker whose tasks end when they may, with the result that is given. */
export async function workAtTheGate(
  engine: TaskEngine,
  concurrency: number,
  resultOf: (envelope: TaskEnvelope) => WorkResult = () => COMPLETED,
) {
  const [started, mayEnd] = [makeGate(), makeGate()];
  const working = await engine.work(
    async (envelope) => {
      started.open();
      await mayEnd.opened;
      return resultOf(envelope);
    },
    { concurrency },
  );
  return { working, started, mayEnd };
}

export type Start = readonly [envelope: TaskEnvelope, context: WorkContext];

/** Takes tasks, until `count` of them have been started. */
export async function starts(
  engine: TaskEngine,
  count: number,
  run: (envelope: TaskEnvelope, context: WorkContext) => WorkResult | Promise<WorkResult> = () => COMPLETED,
): Promise<readonly Start[]> {
  const seen: Start[] = [];
  const done = makeGate();
  const working = await engine.work(
    async (envelope, context) => {
      seen.push([envelope, context]);
      if (seen.length === count) done.open();
      return run(envelope, context);
    },
    { concurrency: 1 },
  );
  await done.opened;
  await working.stop();
  return seen;
}
