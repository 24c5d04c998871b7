/** Loads what the command line names: the registry, and the engine. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TaskEngine } from '../durable/engine.ts';
import { codeOf } from '../errors.ts';
import { toError } from '../to-error.ts';
import { withoutPassword } from '../without-password.ts';
import { UsageError } from './arguments.ts';

type Namespace = Readonly<Record<string, unknown>>;

/** The engine for each scheme of a URL. Its entry is loaded when it is asked for, since its peer may not be installed. */
const ENGINES: Readonly<Record<string, (connection: string, queue: string | undefined) => Promise<TaskEngine>>> = {
  'redis:': onRedis,
  'rediss:': onRedis,
  'postgres:': onPostgres,
  'postgresql:': onPostgres,
};

/** A single letter is a drive of Windows. */
const LIKE_A_URL = /^(?:[a-z][\w+.-]+:)?\/\//i;

async function onRedis(connection: string, queue: string | undefined): Promise<TaskEngine> {
  const { bullmq } = await import('../bullmq.ts');
  return bullmq({ connection, queue });
}

async function onPostgres(connection: string, queue: string | undefined): Promise<TaskEngine> {
  const { pgBoss } = await import('../pg-boss.ts');
  return pgBoss({ connection, queue });
}

/** Importing it registers its tasks. */
export async function importRegistry(path: string): Promise<void> {
  await importModule(path, 'the registry');
}

export async function engineOf(where: string | undefined, queue: string | undefined): Promise<TaskEngine> {
  if (where === undefined) {
    throw new UsageError('Expected --engine, or BACKGROUND_TASKS_ENGINE in the environment, got neither.');
  }
  const make = ENGINES[where.slice(0, where.indexOf(':') + 1).toLowerCase()];
  if (make !== undefined) return make(where, queue).catch(blameArguments);
  const shown = withoutPassword(where);
  // A mistyped URL is not tried as a path: the message of the failed import would contain its password.
  if (shown !== where || LIKE_A_URL.test(where)) {
    const schemes = Object.keys(ENGINES).map((scheme) => `${scheme}//…`);
    throw new UsageError(`Expected --engine to be ${schemes.join(', ')} or the path of a module, got ${shown}.`);
  }
  const { default: exported } = await importModule(where, 'the engine');
  if (queue !== undefined)
    throw new UsageError('Expected --queue only with a URL as --engine: a module names its own queue.');
  if (exported === undefined) throw new UsageError(`Expected the engine ${where} to have a default export, got none.`);
  return engineIn(exported);
}

/** What an engine refuses of its options came from the command line. */
function blameArguments(thrown: unknown): never {
  if (codeOf(thrown) !== 'ERR_BACKGROUND_OPTION') throw thrown;
  throw new UsageError(toError(thrown).message, { cause: thrown });
}

/** Of a module that was compiled to CommonJS, the default export is one level deeper. */
function engineIn(exported: unknown): TaskEngine {
  const { default: deeper } = (exported ?? {}) as { readonly default?: unknown };
  return (deeper ?? exported) as TaskEngine;
}

async function importModule(path: string, what: string): Promise<Namespace> {
  const url = pathToFileURL(resolve(path)).href;
  try {
    return (await import(url)) as Namespace;
  } catch (thrown) {
    throw new UsageError(`Expected ${what} ${path} to load: ${inWords(toError(thrown))}`, { cause: thrown });
  }
}

/** As Node quotes it. */
const EXTENSION_OF_TYPESCRIPT = /"\.(?:[cm]?ts|tsx)"/;
const ADVICE_FOR_TYPESCRIPT =
  'This version of Node cannot load TypeScript by itself: node --import tsx node_modules/express-background-tasks/dist/esm/cli/main.js work …';

/** What Node says of a module that it cannot find or may not load: the message names it, and the stack is Node's own. */
const SAID_BY_THE_LOADER: ReadonlySet<unknown> = new Set([
  'ERR_INVALID_MODULE_SPECIFIER',
  'ERR_INVALID_PACKAGE_CONFIG',
  'ERR_MODULE_NOT_FOUND',
  'ERR_PACKAGE_IMPORT_NOT_DEFINED',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_UNSUPPORTED_ESM_URL_SCHEME',
]);

/** Any other error came out of the module, be it one of Node's or of this package's: its stack says where. */
function inWords(error: Error): string {
  const code = codeOf(error);
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && EXTENSION_OF_TYPESCRIPT.test(error.message)) {
    return `${error.message}. ${ADVICE_FOR_TYPESCRIPT}`;
  }
  return SAID_BY_THE_LOADER.has(code) ? error.message : (error.stack ?? error.message);
}
