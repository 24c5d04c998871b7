/** Loads optional peer packages, when the entry that needs them is imported. */
import { BackgroundTaskError, codeOf, engineError } from '../errors.ts';
import { requireHere } from '../package-files.ts';
import { isAtLeast, majorOf, type Oldest } from './version.ts';

const NOT_INSTALLED: ReadonlySet<unknown> = new Set(['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND']);

/**
 * The package `name`, be it CommonJS or an ES module.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_PEER` if it is not installed.
 */
export function requirePeer<Peer>(entry: string, name: string, install = name): Peer {
  try {
    return requireHere(name) as Peer;
  } catch (cause) {
    if (!NOT_INSTALLED.has(codeOf(cause))) throw cause;
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_PEER',
      `Expected the package ${name} to be installed, since ${entry} was imported: npm install ${install}.`,
      { cause },
    );
  }
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` for an older version, and for one of another major. */
export function checkPeerVersion(name: string, version: string, oldest: Oldest): void {
  const [major] = oldest;
  if (majorOf(version) === major && isAtLeast(version, oldest)) return;
  throw engineError(
    `Expected ${name} ${oldest.join('.')} or a later ${major}, got ${version}: npm install ${name}@${major}.`,
  );
}
