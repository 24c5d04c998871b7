/** The only import of pg-boss. */
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import type * as PgBossModule from 'pg-boss';
import { BackgroundTaskError, codeOf } from '../../errors.ts';
import { requireHere } from '../../package-files.ts';
import { checkPeerVersion, requirePeer } from '../peer.ts';
import { isAtLeast } from '../version.ts';

const ENTRY = 'express-background-tasks/pg-boss';
/** Older ones start, and then silently fail to do some of what is asked of them. */
const OLDEST = [12, 35] as const;
/** The oldest Node that pg-boss 12 supports. */
const OLDEST_NODE = [22, 12] as const;

const loaded = load();
const { version } = requirePeer<{ version: string }>(ENTRY, 'pg-boss/package.json', 'pg-boss');

/** `undefined` where `require()` can't load ES modules, as in test runners. */
function load(): typeof PgBossModule | undefined {
  try {
    return requirePeer<typeof PgBossModule>(ENTRY, 'pg-boss');
  } catch (thrown) {
    if (codeOf(thrown) !== 'ERR_REQUIRE_ESM') throw thrown;
    return undefined;
  }
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_PEER` on a Node that pg-boss does not support. */
export function checkNode(): void {
  if (isAtLeast(process.versions.node, OLDEST_NODE)) return;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_PEER',
    `Expected Node ${OLDEST_NODE.join('.')} or later, since pg-boss ${OLDEST[0]} needs it, got ${process.versions.node}.`,
  );
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if pg-boss is of another version than this engine knows. */
export async function loadPgBoss(): Promise<typeof PgBossModule> {
  checkPeerVersion('pg-boss', version, OLDEST);
  return loaded ?? importAroundLoader();
}

/** pg-boss is an ES module, which the `require()` and `import()` of test runners can't load. This uses Node's own. */
function importAroundLoader(): Promise<typeof PgBossModule> {
  const { USE_MAIN_CONTEXT_DEFAULT_LOADER } = vm.constants as Record<string, unknown>;
  const load = vm.runInThisContext('(url) => import(url)', {
    importModuleDynamically: USE_MAIN_CONTEXT_DEFAULT_LOADER as never,
  }) as (url: string) => Promise<typeof PgBossModule>;
  return load(pathToFileURL(requireHere.resolve('pg-boss')).href);
}
