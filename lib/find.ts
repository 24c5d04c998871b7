/** `find(id)`: a task by its id, wherever it is known. */
import type { DurableTask } from './durable/engine.ts';
import type { TaskHandle } from './handle.ts';
import type { Instance } from './instance.ts';
import type { Outcome } from './outcome.ts';
import { isDurableId, isPossibleId, numberIn } from './task-id.ts';

/** What `find(id)` returns without an engine. */
export type FoundTask = TaskHandle | Outcome | undefined;

export function find({ runtime }: Instance, id: string): FoundTask {
  if (!isPossibleId(id)) return undefined;
  const number = numberIn(id);
  const found = runtime.backlog.find(number)?.handle ?? runtime.reporter.history.find(number, id);
  return found?.id === id ? found : undefined;
}

/** Asks the engine first: it knows more of a durable task than this process does, and also knows those of others. */
export async function findDurable(instance: Instance, id: string): Promise<FoundTask | DurableTask> {
  const { durable } = instance;
  if (durable === undefined || !isDurableId(id)) return find(instance, id);
  const before = find(instance, id);
  const found = (await durable.find(id)) ?? find(instance, id);
  // On its way to the engine when that looked, and there when it answered.
  return found === undefined && before !== undefined ? durable.find(id) : found;
}
