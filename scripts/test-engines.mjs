// The engines on real servers: `npm run test:engines`. Redis and Postgres are started by the tests, on free ports and in
// temporary folders; where they are not installed, their tests say so and are skipped. What the proof has found is printed at
// the end, as the table in docs/faults.md. `--short` leaves out what waits for the default options; other arguments go to jest.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tableOf } from './support/engine-findings.mjs';
import { installNode } from './support/node-versions.mjs';

/** The first version that pg-boss runs on, and the one that its tests are run on if this one is older. */
const PG_BOSS_MAJOR = 22;
const NEWER_NODE = '24';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const runs = [{ node: process.execPath, files: '__tests__/engines/', names: '' }];
if (Number.parseInt(process.versions.node, 10) < PG_BOSS_MAJOR) {
  // The tests on BullMQ have run already.
  const files = '__tests__/engines/.*(pg-boss|conformance|postgres|versions|command)';
  runs.push({ node: installNode(NEWER_NODE), files, names: '^(?!bullmq)' });
}

const SHORT = '--short';
const isShort = process.argv.includes(SHORT);
const jestArguments = process.argv.slice(2).filter((arg) => arg !== SHORT);

const folder = mkdtempSync(join(tmpdir(), 'background-tasks-proof-'));
const findings = join(folder, 'findings');

for (const [index, { node, files, names }] of runs.entries()) {
  const { status } = spawnSync(
    node,
    [
      'node_modules/jest/bin/jest.js',
      ...['--testPathIgnorePatterns', '/node_modules/', '--testPathPatterns', files, '--testNamePattern', names],
      // Each run has a report of its own, if one is asked for.
      ...jestArguments.map((arg) => (arg.startsWith('--outputFile=') ? `${arg}.${index}` : arg)),
    ],
    {
      stdio: 'inherit',
      env: { ...process.env, ENGINE_PROOF: findings, ...(isShort ? { ENGINE_PROOF_IS_SHORT: 'yes' } : {}) },
    },
  );
  if (status !== 0) process.exitCode = 1;
}

process.stdout.write(`\n${tableOf(findings)}`);
rmSync(folder, { recursive: true, force: true });
