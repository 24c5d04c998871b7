/** The user's module, loaded in the thread that runs its functions. */
import nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { BackgroundTaskError, codeOf } from '../errors.ts';
import type { Callable } from '../task.ts';
import { toError } from '../to-error.ts';

type Namespace = Readonly<Record<string, unknown>>;

const loaded = new Map<string, Namespace>();

/**
 * The exported function, from the module's cache after the first time.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_MODULE` if the module cannot be loaded, `ERR_BACKGROUND_EXPORT` if it has no such function.
 */
export async function loadFunction(module: string, exportName: string): Promise<Callable> {
  const namespace = await loadModule(module);
  const exported = exportOf(namespace, exportName);
  const run = taskFunctionOf(namespace, exportName, exported);
  if (run !== undefined) return run;
  const got = types.isGeneratorFunction(exported)
    ? 'a generator function, whose body does not run when it is called'
    : typeof exported;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_EXPORT',
    `Expected ${module} to export a function ${exportName}, got ${got}. Its functions are: ${functionNames(namespace).join(', ') || 'none'}.`,
  );
}

/** Functions of an object that is exported as a whole may call each other by `this`. */
function taskFunctionOf(namespace: Namespace, name: string, exported: unknown): Callable | undefined {
  if (typeof exported !== 'function' || types.isGeneratorFunction(exported)) return undefined;
  const whole = defaultOf(namespace);
  return hasOwn(whole, name) && whole[name] === exported ? exported.bind(whole) : (exported as Callable);
}

/** The function, if its module was loaded before: the common case, spared the turn of a promise. Never throws. */
export function loadedFunction(module: string, exportName: string): Callable | undefined {
  const namespace = loaded.get(module);
  return namespace === undefined ? undefined : functionIn(namespace, exportName);
}

/** An export may be a getter that throws, as where a dependency that it needs is not installed. */
function functionIn(namespace: Namespace, name: string): Callable | undefined {
  try {
    return taskFunctionOf(namespace, name, exportOf(namespace, name));
  } catch {
    return undefined;
  }
}

export async function loadModule(module: string): Promise<Namespace> {
  const known = loaded.get(module);
  if (known !== undefined) return known;
  try {
    const namespace = await importOrRequire(module);
    loaded.set(module, namespace);
    return namespace;
  } catch (thrown) {
    const cause = toError(thrown);
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_MODULE',
      `Expected ${module} to load: ${cause.message}${adviceFor(cause, module)}`,
      { cause },
    );
  }
}

const TYPESCRIPT = /\.(?:[cm]?ts|tsx)$/;

/** What `import()` says of a TypeScript file that `require()` may be able to load. */
const NOT_IMPORTABLE: ReadonlySet<unknown> = new Set([
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_MODULE_NOT_FOUND',
]);

/**
 * ts-node and others that are preloaded by `--require` teach `require()` alone to read TypeScript, and in threads tsx as
 * well. An `.mts` file may then be read by what reads `.js`: only of `.ts` is it certain that it is registered.
 */
async function importOrRequire(module: string): Promise<Namespace> {
  try {
    return (await import(module)) as Namespace;
  } catch (thrown) {
    const readsTypeScript = nodeModule.createRequire(module).extensions['.ts'] !== undefined;
    if (!(readsTypeScript && NOT_IMPORTABLE.has(codeOf(thrown)) && TYPESCRIPT.test(module))) throw thrown;
    return requireInstead(module, thrown);
  }
}

/** What `require()` says of a file that it could never load: an ES module that awaits something. */
const NOT_REQUIRABLE: ReadonlySet<unknown> = new Set(['ERR_REQUIRE_ASYNC_MODULE', 'ERR_REQUIRE_ESM']);

function requireInstead(module: string, thrownByImport: unknown): Namespace {
  try {
    const whole = nodeModule.createRequire(module)(fileURLToPath(module)) as Namespace;
    return { ...whole, default: whole };
  } catch (thrown) {
    throw NOT_REQUIRABLE.has(codeOf(thrown)) ? thrownByImport : thrown;
  }
}

function adviceFor(cause: Error, module: string): string {
  const isUnknownSource = codeOf(cause) === 'ERR_UNKNOWN_FILE_EXTENSION' && TYPESCRIPT.test(module);
  if (!isUnknownSource) return '';
  // In vitest the mode `inline` uses no thread: what is missing there is that vitest reads this file as well.
  const advice =
    process.env['VITEST'] === undefined
      ? 'give the threads or processes a loader, see docs/task-modules.md'
      : 'let vitest process this package, and give threads a loader, see docs/testing.md';
  return `. This version of Node cannot load TypeScript by itself: ${advice}.`;
}

/** A CommonJS module's exports stand on its default export where Node could not tell their names beforehand. */
function exportOf(namespace: Namespace, name: string): unknown {
  const fallback = defaultOf(namespace);
  // A compiled module's default export stands one level deeper than Node puts it.
  if (name in namespace && (name !== 'default' || typeof fallback === 'function')) return namespace[name];
  return hasOwn(fallback, name) ? fallback[name] : undefined;
}

/** A module that vitest mocks throws when it is asked for an export that the test did not give it. */
function defaultOf(namespace: Namespace): unknown {
  return 'default' in namespace ? namespace['default'] : undefined;
}

function hasOwn(value: unknown, name: string): value is Record<string, unknown> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && Object.hasOwn(value, name);
}

export function functionNames(namespace: Namespace): string[] {
  const names = [...Object.keys(namespace), ...Object.keys(defaultOf(namespace) ?? {})];
  return [...new Set(names)].filter((name) => name !== 'module.exports' && functionIn(namespace, name) !== undefined);
}
