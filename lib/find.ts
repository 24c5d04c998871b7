/** `find(id)`: a task by its id, wherever it is known. */
import type { DurableTask } from './durable/engine.ts';
import { numberInId } from './durable/task-id.ts';
import type { TaskHandle } from './handle.ts';
import type { Instance } from './instance.ts';
import type { Outcome } from './outcome.ts';

/** What `find(id)` returns without an engine. */
export type FoundTask = TaskHandle | Outcome | undefined;

export function find({ runtime }: Instance, id: string): FoundTask {
  const text = String(id);
  const number = numberInId(text) ?? Number.parseInt(text.split('-')[1] ?? '', 36);
  const found = runtime.backlog.find(number)?.handle ?? runtime.reporter.history.find(number, text);
  return found?.id === id ? found : undefined;
}

/** Asks the engine first: it knows more of a durable task than this process does, and also knows those of others. */
export async function findDurable(instance: Instance, id: string): Promise<FoundTask | DurableTask> {
  const known = numberInId(String(id)) === undefined ? undefined : await instance.durable?.find(id);
  if (known !== undefined) return known;
  const found = find(instance, id);
  // Its outcome is only that of the hand-over. Whether the task has run, or still exists, is not known here.
  return isHandedOver(found) && instance.durable !== undefined ? undefined : found;
}

function isHandedOver(found: FoundTask): boolean {
  return found !== undefined && 'executor' in found && found.executor === 'engine' && found.state === 'completed';
}
