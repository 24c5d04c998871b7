/** Modules whose exports are tasks: references to the exports, made when they are asked for. */
import { type BlockingTask, carryDefinition, type TaskDefinition, WHOLE_MODULE } from './task.ts';

/** The functions that a module exports, each as a task. */
export type BlockingModule<Module> = {
  readonly [Name in keyof Module as Module[Name] extends (...args: never[]) => unknown
    ? Name
    : never]: Module[Name] extends (...args: infer Args) => infer Value ? BlockingTask<Args, Value> : never;
};

/**
 * Names that other code looks up on any object, and that are therefore no tasks. With a `then` the object would be taken
 * for a promise; and a worker would demand the other two of its module.
 */
const ASKED_OF_ALL: ReadonlySet<string> = new Set(['then', 'toJSON', '__esModule']);

/** Whether an export of this name can be a task. */
export function isTaskName(exportName: string): boolean {
  return !ASKED_OF_ALL.has(exportName);
}

/** An object that has a task by every name: the module is not loaded, so its exports are not known. */
export function taskReferences<Module extends object>(
  module: string,
  definitionOf: (exportName: string) => Omit<TaskDefinition, 'target'>,
): BlockingModule<Module> {
  const references = new Map<string, BlockingTask>();

  function referenceTo(exportName: string): BlockingTask {
    const definition = definitionOf(exportName);
    const reference = Object.freeze(
      carryDefinition(
        { name: definition.name, module, export: exportName },
        { ...definition, target: { kind: 'module', module, export: exportName } },
      ),
    );
    references.set(exportName, reference);
    return reference;
  }

  return new Proxy(Object.create(null), {
    get(_target, property) {
      if (property === WHOLE_MODULE) return true;
      if (typeof property === 'symbol' || !isTaskName(property)) return undefined;
      return references.get(property) ?? referenceTo(property);
    },
    set: () => false,
  });
}
