/** The names of durable tasks: what a worker looks up. A message from an engine names nothing else that runs. */

import { describe } from '../describe.ts';
import { BackgroundTaskError } from '../errors.ts';
import { processWide } from '../process-wide.ts';
import type { TaskDefinition } from '../task.ts';

/** What `durable()` has registered under one name. */
export interface RegisteredModule {
  readonly name: string;
  readonly module: string;
  readonly executor: 'thread' | 'process' | 'event-loop';
  /** Exports that were named, by a reference or by `parse`: they must be there. */
  readonly named: ReadonlySet<string>;
  definitionOf(exportName: string): TaskDefinition;
}

const NAME = /^[a-z][\w/#-]{0,63}$/i;

/** One a process: the registry module and the worker may have come by different copies of the package. */
const modules = processWide('durable-modules', () => new Map<string, RegisteredModule>());

/**
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_REGISTRY` for a name that is none, or that stands for another module.
 */
export function register(registered: RegisteredModule): void {
  const { name, module } = registered;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_REGISTRY',
      `Expected the name given to durable() to be a letter and up to 63 of letters, digits, _ / # -, got ${describe(name)}.`,
    );
  }
  const present = modules.get(name);
  if (present !== undefined && present.module !== module) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_REGISTRY',
      `Expected the name ${name} to stand for one module, got durable('${name}', …) for ${module} after ${present.module}.`,
    );
  }
  modules.set(name, registered);
}

export function registeredModules(): readonly RegisteredModule[] {
  return [...modules.values()];
}
