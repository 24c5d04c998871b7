/**
 * What must be one in a process (or thread) though the package may be loaded twice, once as ESM and once as CommonJS:
 * a task module that imports the one copy has to see what the other has set.
 */
export function processWide<T>(name: string, create: () => T): T {
  const key = Symbol.for(`express-background-tasks.${name}`);
  const registry = globalThis as Record<symbol, unknown>;
  registry[key] ??= create();
  return registry[key] as T;
}
