/** `find(id)`: a task by its id, wherever it is known. */
import type { DurableTask } from './durable/engine.ts';
import { numberInId } from './durable/task-id.ts';
import type { TaskHandle } from './handle.ts';
import type { Instance } from './instance.ts';
import type { Outcome } from './outcome.ts';

/** What `find(id)` returns without an engine. */
export type FoundTask = TaskHandle | Outcome | undefined;

/** Longer than every id. */
const LONGEST_ID = 64;

/** What a route is given in the place of an id may be anything that a request can hold: an array, an object, a megabyte. */
function isPossible(id: unknown): boolean {
  return typeof id === 'string' && id.length <= LONGEST_ID;
}

export function find({ runtime }: Instance, id: string): FoundTask {
  if (!isPossible(id)) return undefined;
  const number = numberInId(id) ?? Number.parseInt(id.split('-')[1] ?? '', 36);
  const found = runtime.backlog.find(number)?.handle ?? runtime.reporter.history.find(number, id);
  return found?.id === id ? found : undefined;
}

/** Asks the engine first: it knows more of a durable task than this process does, and also knows those of others. */
export async function findDurable(instance: Instance, id: string): Promise<FoundTask | DurableTask> {
  const { durable } = instance;
  if (durable === undefined || !isPossible(id) || numberInId(id) === undefined) return find(instance, id);
  const before = find(instance, id);
  const found = (await durable.find(id)) ?? find(instance, id);
  // On its way to the engine when that looked, and there when it answered.
  return found === undefined && before !== undefined ? durable.find(id) : found;
}
