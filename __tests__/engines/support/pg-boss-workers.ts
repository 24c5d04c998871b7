/** Workers on an engine, and what they have started. */
import type { TaskEngine, TaskEnvelope, WorkContext, WorkResult } from 'express-background-tasks';
import { type Gate, makeGate } from '../../support/gates.ts';
import { COMPLETED } from './completed.ts';
import { stageOne } from './pg-boss-tasks.ts';
import { untilSoon } from './until-soon.ts';

export interface Start {
  readonly envelope: TaskEnvelope;
  readonly context: WorkContext;
}

export interface Watched {
  readonly starts: readonly Start[];
  started(id: string): Promise<unknown>;
  stop(): Promise<void>;
}

export async function watch(
  engine: TaskEngine,
  behaviour: (start: Start) => WorkResult | Promise<WorkResult> = () => COMPLETED,
  concurrency = 5,
): Promise<Watched> {
  const starts: Start[] = [];
  const working = await engine.work(
    async (envelope, context) => {
      starts.push({ envelope, context });
      return behaviour({ envelope, context });
    },
    { concurrency },
  );
  return {
    starts,
    started: (id) => untilSoon('it was started', () => starts.some(({ envelope }) => envelope.id === id)),
    stop: () => working.stop(),
  };
}

/** A task that runs in a worker, and ends when the gate is opened. */
export async function runOne(engine: TaskEngine): Promise<{ gate: Gate; worker: Watched; id: string }> {
  const gate = makeGate();
  const worker = await watch(engine, async () => {
    await gate.opened;
    return COMPLETED;
  });
  const id = await stageOne(engine, { holdMs: 0 });
  await worker.started(id);
  return { gate, worker, id };
}
