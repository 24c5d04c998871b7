/** `blocking()`: typed references to a module's exports, made without loading the module in the main thread. */
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BackgroundTaskError } from './errors.ts';
import type { BlockingTaskOptions } from './options.ts';
import { describe } from './outcome.ts';
import { resolveBlockingOptions } from './resolve-options.ts';
import { type BlockingTask, carryDefinition } from './task.ts';

/** The functions that a module exports, each as a task. */
export type BlockingModule<Module> = {
  readonly [Name in keyof Module as Module[Name] extends (...args: never[]) => unknown
    ? Name
    : never]: Module[Name] extends (...args: infer Args) => infer Value ? BlockingTask<Args, Value> : never;
};

/**
 * References to the functions that a module exports, to be run in worker threads. The module is an ordinary one; it
 * is loaded by the threads alone, and only its type is used here: without the type parameter there is nothing to add.
 *
 * @param url the module: a `URL`, a `file:` string or an absolute path, such as `require.resolve('./tasks/images')`.
 * Where a `.js` file is not there and a `.ts` file of that name is, that is meant: sources can be run as they are.
 * @param options `name`, `when`, `timeout`, `retry`, `priority`; each optional.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_MODULE` unless it names a file that exists; `ERR_BACKGROUND_OPTION`
 * for an option that is unknown or of the wrong type. An export that is missing is found out by the thread.
 * @example
 * const images = blocking<typeof import('./tasks/images.js')>(new URL('./tasks/images.js', import.meta.url));
 * res.locals.backgroundTasks.add(images.thumbnail, req.body.path, 200);
 */
export function blocking<Module extends object>(
  url: URL | string,
  options: BlockingTaskOptions = {},
): BlockingModule<Module> {
  const module = moduleUrl(url);
  const resolved = resolveBlockingOptions(options);
  const references = new Map<string, BlockingTask>();

  function referenceTo(exportName: string): BlockingTask {
    const name = resolved.name ?? exportName;
    const reference = Object.freeze(
      carryDefinition(
        { name, module, export: exportName },
        {
          name,
          executor: resolved.executor ?? 'thread',
          target: { kind: 'module', module, export: exportName },
          options: resolved,
        },
      ),
    );
    references.set(exportName, reference);
    return reference;
  }

  return new Proxy(Object.create(null), {
    get(_target, property) {
      // An object with a `then` would be taken for a promise, by `await` and by everybody else.
      if (typeof property === 'symbol' || property === 'then') return undefined;
      return references.get(property) ?? referenceTo(property);
    },
    set: () => false,
  });
}

function moduleUrl(url: URL | string): string {
  const href = hrefOf(url);
  const file = href === undefined ? undefined : existingFile(href);
  if (file !== undefined) return file;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_MODULE',
    href === undefined
      ? `Expected blocking() to be given a file URL or an absolute path, got ${describe(url)}: write new URL('./tasks.js', import.meta.url), or require.resolve('./tasks').`
      : `Expected blocking() to be given a module that exists, got ${href}: no such file.`,
  );
}

/** The `file:` URL that is meant, or `undefined` for what names no file. */
function hrefOf(url: unknown): string | undefined {
  if (typeof url === 'string' && isAbsolute(url)) return pathToFileURL(url).href;
  // Another realm's URL (jest has one of its own) is no instance of this one's.
  const text = typeof url === 'string' ? url : String((url as Partial<URL> | null)?.href);
  return text.startsWith('file:') && URL.canParse(text) ? new URL(text).href : undefined;
}

const SOURCES_OF: Readonly<Record<string, string>> = { '.js': '.ts', '.mjs': '.mts', '.cjs': '.cts' };

/** The file itself, or its TypeScript source where only that is there: under tsx, type stripping or jest. */
function existingFile(href: string): string | undefined {
  if (isFile(href)) return href;
  const [, stem, extension] = /^(.*)(\.[cm]?js)$/.exec(href) ?? [];
  const source = extension === undefined ? undefined : `${stem}${SOURCES_OF[extension]}`;
  return source !== undefined && isFile(source) ? source : undefined;
}

function isFile(href: string): boolean {
  try {
    return statSync(fileURLToPath(href)).isFile();
  } catch {
    return false;
  }
}
