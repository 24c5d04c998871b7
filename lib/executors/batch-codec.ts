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
    const [id, attempt, target, args, context] = tasks.slice(at, at + FIELDS) as [
      string,
      number,
      number,
      unknown[],
      unknown,
    ];
    const [name, module, exportName] = targets.slice(target, target + 3) as [string, string, string];
    messages.push({ id, attempt, name, module, export: exportName, args, context });
  }
  return messages;
}
