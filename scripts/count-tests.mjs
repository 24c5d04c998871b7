// `node scripts/count-tests.mjs FOLDER SOAK_STATUS`: the sums of jest's reports in a folder, and the result of a soak, in one line.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, soakStatus] = process.argv.slice(2);
const reports = readdirSync(folder)
  .filter((file) => file.includes('.json'))
  .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')));
const sum = (count) => reports.reduce((total, report) => total + count(report), 0);

const passed = sum(({ numPassedTests }) => numPassedTests);
const skipped = sum(({ numPendingTests }) => numPendingTests);
// A suite that does not even load counts as a failure.
const failed = sum(({ numFailedTests, numFailedTestSuites }) => Math.max(numFailedTests, numFailedTestSuites));

if (skipped > 0) console.log(`${skipped} skipped: what they need is not here, or they were run on another Node`);
if (soakStatus !== '0') console.log(`The soak has ended with ${soakStatus}, which counts as a failure.`);
console.log(`${passed} passed, ${failed + (soakStatus === '0' ? 0 : 1)} failed`);
