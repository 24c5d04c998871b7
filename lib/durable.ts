/** `durable()`: tasks that an engine keeps, under names that web processes and workers share. */
import { register } from './durable/registry.ts';
import { type BlockingModule, taskReferences } from './module-tasks.ts';
import { moduleUrl } from './module-url.ts';
import { type DurableTaskOptions, resolveDurableOptions } from './options/task.ts';
import { definitionOf, type TaskDefinition } from './task.ts';

/**
 * References to the functions that a module exports, to be kept by the engine of `backgroundTasks({ engine })` and run
 * by a worker: in this process, in another, on another machine. Write it in a module that both import, the registry.
 *
 * The engine is given the name `mail.sendInvoice`, an id and the arguments as JSON; a worker runs what it has registered
 * under that name. Without an engine the tasks run in this process, and do not survive it.
 *
 * @param name the module's name in the engine. Keep it when the file moves: tasks that wait refer to it.
 * @param url the module, as in {@link blocking}.
 * @param options `when`, `timeout`, `retry` (three attempts unless it says otherwise), `priority`, `executor`, `parse`; each optional.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_MODULE` unless `url` names a file that exists; `ERR_BACKGROUND_REGISTRY`
 * if `name` is malformed, or already stands for another module; `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type.
 * @example
 * export const mail = durable<typeof import('./mail.js')>('mail', new URL('./mail.js', import.meta.url), { retry: { attempts: 5 } });
 * const handle = res.locals.backgroundTasks.add(mail.sendInvoice, order.id);
 * await handle.accepted;
 */
// biome-ignore lint/complexity/noBannedTypes: as for `blocking`.
export function durable<Module extends object = {}>(
  name: string,
  url: URL | string,
  // What `parse` names is held against the module, and is not what the module is known from.
  options: DurableTaskOptions<NoInfer<Module>> = {},
): BlockingModule<Module> {
  const module = moduleUrl(url, 'durable()');
  const { executor = 'thread', parse = {}, ...taskOptions } = resolveDurableOptions(options);
  const parsers: Readonly<Record<string, TaskDefinition['parse']>> = parse;

  const tasks = taskReferences<Record<string, () => unknown>>(module, (exportName) => {
    named.add(exportName);
    return {
      name: `${name}.${exportName}`,
      executor,
      options: taskOptions,
      isDurable: true,
      parse: Object.hasOwn(parsers, exportName) ? parsers[exportName] : undefined,
    };
  });
  const named = register({ name, module, executor, definitionOf: (exportName) => definitionOf(tasks[exportName]) });
  for (const exportName of Object.keys(parsers)) named.add(exportName);
  return tasks as BlockingModule<Module>;
}
