/**
 * How a batch crosses to its thread: as one flat list. Written out, each task would carry the names of its fields, and the
 * module's url, through the clone of every message.
 */
import type { BatchMessage, TaskMessage } from './wire.ts';

const FIELDS = 5;

export function packBatch(messages: readonly TaskMessage[]): BatchMessage {
  const targets: string[] = [];
  const tasks: unknown[] = [];
  let target = -1;
  for (const { id, attempt, name, module, export: exportName, args, context } of messages) {
    // Neighbours are mostly alike.
    if (
      target === -1 ||
      targets[target] !== name ||
      targets[target + 1] !== module ||
      targets[target + 2] !== exportName
    ) {
      target = targets.push(name, module, exportName) - 3;
    }
    tasks.push(id, attempt, target, args, context);
  }
  return { targets, tasks };
}

export function unpackBatch({ targets, tasks }: BatchMessage): TaskMessage[] {
  const messages: TaskMessage[] = [];
  for (let at = 0; at < tasks.length; at += FIELDS) {
    const target = tasks[at + 2] as number;
    messages.push({
      id: tasks[at] as string,
      attempt: tasks[at + 1] as number,
      name: targets[target] as string,
      module: targets[target + 1] as string,
      export: targets[target + 2] as string,
      args: tasks[at + 3] as unknown[],
      context: tasks[at + 4],
    });
  }
  return messages;
}
