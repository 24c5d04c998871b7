/** Waiting for what a database holds. */
import type { DurableState, DurableTask, TaskEngine } from 'express-background-tasks';
import { work as someTime } from '../../support/time.ts';

const PATIENCE = 20_000;
const BETWEEN_LOOKS = 10;

export function untilState(engine: TaskEngine, id: string, state: DurableState): Promise<DurableTask> {
  return untilSoon(`it is ${state}`, async () => {
    const found = await engine.find(id).catch(() => undefined);
    return found?.state === state ? found : undefined;
  });
}

/** A database does not notify a test of changes: the test has to ask. */
export async function untilSoon<Found>(what: string, ask: () => Found | Promise<Found>): Promise<NonNullable<Found>> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const found = await ask();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`Waited in vain: ${what}.`);
    await someTime(BETWEEN_LOOKS);
  }
}
