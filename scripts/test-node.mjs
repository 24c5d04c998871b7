// Runs the test suite on several versions of Node, which come from npm: `npm run test:node`, or `npm run test:node -- 22 24`.
// Other arguments go to jest: `npm run test:node -- 26 lifecycle`.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, installNode, npm } from './support/node-versions.mjs';

const ALL = ['20', '22', '24', '26'];
const jest = 'node_modules/jest/bin/jest.js';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const given = process.argv.slice(2);
const isVersion = (argument) => /^v?\d+(\.\d+)*$/.test(argument);
const versions = given.some(isVersion) ? given.filter(isVersion).map((version) => version.replace('v', '')) : ALL;
const jestArguments = given.filter((argument) => !isVersion(argument));

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
    const node = installNode(version);
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

function tableOf(rows) {
  const columns = ['version', 'passed', 'failed', 'skipped', 'time'];
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index].length)));
  return lines.map((line) => line.map((cell, index) => cell.padEnd(widths[index])).join('  ')).join('\n');
}
