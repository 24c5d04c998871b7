// Commits every fault of __tests__/faults/table.ts against the package's executors and against bare pools of other
// libraries, each in a process of its own, and writes what was measured into docs/faults.md: `npm run faults`.
// `npm run faults -- thread piscina` commits them against those only, and prints the result.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { register } from 'tsx/esm/api';

register();
const { runInOwnProcess } = await import('../__tests__/faults/run-in-own-process.ts');
const { FAULTS, isPossible } = await import('../__tests__/faults/table.ts');

/** A task that takes longer counts as hanging, in milliseconds. */
const LIMIT = 4_000;

const page = new URL('../docs/faults.md', import.meta.url);
const BEGIN = '<!-- measured: begin -->';
const END = '<!-- measured: end -->';

const OURS = { 'event-loop': 'event loop', thread: 'thread', process: 'process' };
const RIVALS = { piscina: 'Piscina', tinypool: 'tinypool `child_process`', workerpool: 'workerpool `process`' };
const TITLES = { ...OURS, ...RIVALS };

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in TITLES));
if (unknown.length > 0)
  throw new Error(`No contestant is called ${unknown.join(', ')}. There are ${Object.keys(TITLES).join(', ')}.`);
const names = wanted.length === 0 ? Object.keys(TITLES) : wanted;

/** How many servers at a time: each has two workers. */
const AT_ONCE = 2;

const rows = FAULTS.map((fault) => ({ fault, reports: {} }));
const trials = rows.flatMap(({ fault, reports }) =>
  names
    .filter((name) => !(name in OURS) || isPossible(fault.expected[name]))
    .map((name) => async () => {
      process.stderr.write(`${name}: a task that ${fault.what} …\n`);
      [reports[name]] = await runInOwnProcess(name, [fault], LIMIT);
    }),
);
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let trial = trials.shift(); trial !== undefined; trial = trials.shift()) await trial();
  }),
);

const measured = `${summary()}\n\n${details()}`;
if (wanted.length > 0) {
  console.log(measured);
} else {
  const [before, after] = [readFileSync(page, 'utf8').split(BEGIN)[0], readFileSync(page, 'utf8').split(END)[1]];
  writeFileSync(page, `${before}${BEGIN}\n\n${measured}\n\n${versions()}\n\n${END}${after}`);
}

const wrong = rows.flatMap(({ fault, reports }) =>
  Object.keys(OURS)
    .filter((name) => reports[name] !== undefined && !isAsExpected(reports[name].caller, fault.expected[name]))
    .map((name) => `${name}: a task that ${fault.what}: ${reports[name].caller}, not ${fault.expected[name]}`),
);
for (const line of wrong) console.error(line);
process.exitCode = wrong.length === 0 ? 0 : 1;

function isAsExpected(caller, expected) {
  return expected instanceof RegExp ? expected.test(caller) : caller === expected;
}

/** How many of the faults each contestant withstood. */
function summary() {
  const count = (name, isGood) => {
    const reports = rows.map(({ reports }) => reports[name]).filter((report) => report !== undefined);
    return `${reports.filter(isGood).length} of ${reports.length}`;
  };
  return tableOf([
    ['', 'the server lives and answers', 'the task settles', 'the tasks beside it are unharmed', 'it serves again'],
    ...names.map((name) => [
      TITLES[name],
      count(name, (report) => isAlive(report) && report.pings.unanswered === 0),
      count(name, (report) => isAlive(report) && !report.caller.includes('hangs')),
      count(name, (report) => report.others === 'unharmed'),
      count(name, (report) => report.servesAgain),
    ]),
  ]);
}

function details() {
  return tableOf([
    ['a task that', ...names.map((name) => TITLES[name])],
    ...rows.map(({ fault, reports }) => [
      fault.what,
      ...names.map((name) => cell(reports[name], fault.expected[name])),
    ]),
  ]);
}

function cell(report, expectation) {
  if (report === undefined) return `– (no ${expectation.forWantOf})`;
  if (!isAlive(report)) return `**${report.caller}**`;
  return [
    code(report.caller),
    ...(report.others === 'unharmed' ? [] : [`**others:** ${code(report.others)}`]),
    ...(report.servesAgain ? [] : ['**serves no more**']),
    ...(report.pings.unanswered === 0 ? [] : [`**${report.pings.unanswered} pings unanswered**`]),
  ].join('; ');
}

function isAlive({ caller }) {
  return !caller.startsWith('the server ');
}

function code(text) {
  return `\`${text.replaceAll('BackgroundTaskError ', '').replaceAll('|', '\\|').replaceAll('`', "'")}\``;
}

function tableOf([head, ...lines]) {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function versions() {
  const require = createRequire(import.meta.url);
  const rivals = Object.keys(RIVALS).map((name) => `${name} ${versionOf(require, name)}`);
  const date = new Date().toISOString().slice(0, 10);
  return `Measured on ${date}: Node ${process.versions.node}, ${availableParallelism()} cores, ${rivals.join(', ')}.`;
}

function versionOf(require, name) {
  const directory = require.resolve.paths(name).map((path) => `${path}/${name}/package.json`);
  for (const file of directory) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')).version;
    } catch {
      // Not in this folder.
    }
  }
  return 'of unknown version';
}
