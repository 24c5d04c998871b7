/** Which functions a module exports: asked in a thread or process, where the module will run. */
import { functionNames, loadModule } from '../executors/task-module.ts';

export async function functionsOf(module: string): Promise<string[]> {
  return functionNames(await loadModule(module));
}
