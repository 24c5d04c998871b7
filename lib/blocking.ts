/** `blocking()`: typed references to a module's exports, made without loading the module in the main thread. */
import { type BlockingModule, taskReferences } from './module-tasks.ts';
import { moduleUrl } from './module-url.ts';
import { type BlockingTaskOptions, resolveBlockingOptions } from './options/task.ts';

/**
 * References to the functions that a module exports, to be run in worker threads or in child processes. The module is an
 * ordinary one, and only these load it. TypeScript needs its type as the type parameter: without it the result has no
 * properties.
 *
 * @param url the module: a `URL`, a `file:` string or an absolute path, such as `require.resolve('./tasks/images')`.
 * If there is no such `.js` file but a `.ts` file of that name, the `.ts` file is used: sources can be run as they are.
 * @param options `name`, `when`, `timeout`, `retry`, `priority`, `executor`; each optional.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_MODULE` unless it names a file that exists; `ERR_BACKGROUND_OPTION`
 * for an option that is unknown or of the wrong type. A missing export is found by the thread or
 * process: the task fails with `ERR_BACKGROUND_EXPORT`.
 * @example
 * const images = blocking<typeof import('./tasks/images.js')>(new URL('./tasks/images.js', import.meta.url));
 * res.locals.backgroundTasks.add(images.thumbnail, req.body.path, 200);
 */
// biome-ignore lint/complexity/noBannedTypes: a module of which no type is given; `BlockingModule<{}>` in an error shows what is missing.
export function blocking<Module extends object = {}>(
  url: URL | string,
  options: BlockingTaskOptions = {},
): BlockingModule<Module> {
  const module = moduleUrl(url, 'blocking()');
  const resolved = resolveBlockingOptions(options);
  const { executor = 'thread' } = resolved;
  return taskReferences(module, (exportName) => ({
    name: resolved.name ?? exportName,
    executor,
    options: resolved,
  }));
}
