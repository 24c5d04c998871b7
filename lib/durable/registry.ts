/** The registered modules, by name. A worker runs nothing but their functions, whatever a message from an engine says. */

import { describe } from '../describe.ts';
import { BackgroundTaskError } from '../errors.ts';
import { processWide } from '../process-wide.ts';
import type { TaskDefinition } from '../task.ts';

/** What `durable()` has registered under one name. */
export interface RegisteredModule {
  readonly name: string;
  readonly module: string;
  readonly executor: 'thread' | 'process' | 'event-loop';
  /** Exports that a reference or `parse` has named: the module must have them. */
  readonly named: Set<string>;
  definitionOf(exportName: string): TaskDefinition;
}

const NAME = /^[a-z][\w/#-]{0,63}$/i;

/** One for the process: the registry module and the worker may import different copies of the package. */
const modules = processWide('durable-modules', () => new Map<string, RegisteredModule>());

/**
 * Under a name that was registered before, the later options win.
 *
 * @returns where the exports go that are named from now on.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_REGISTRY` for a malformed name, or one that stands for another module, or
 * for the same one elsewhere.
 */
export function register(registered: Omit<RegisteredModule, 'named'>): Set<string> {
  const { name, module, executor } = registered;
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
      `Expected the name ${name} to stand for one module, got durable('${name}', …) for ${module}, and before for ${present.module}.`,
    );
  }
  if (present !== undefined && present.executor !== executor) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_REGISTRY',
      `Expected the name ${name} to have one executor, got durable('${name}', …) for '${executor}' after '${present.executor}'.`,
    );
  }
  const named = present?.named ?? new Set<string>();
  modules.set(name, { ...registered, named });
  return named;
}

export function registeredModules(): readonly RegisteredModule[] {
  return [...modules.values()];
}
