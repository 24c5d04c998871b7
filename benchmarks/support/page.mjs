// Writes results to docs/benchmarks/, and makes the page there from all the results in that folder.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { bars } from './bars.mjs';
import { decisive, HEADINGS, lines } from './results.mjs';

const folder = new URL('../../docs/benchmarks/', import.meta.url);
const RESULTS = /^results-.+\.json$/;
const rowsFolder = new URL('../rows/', import.meta.url);

/** As in `AMD EPYC`, without what a maker adds. */
const processor = (cpus()[0]?.model ?? 'unknown processor').replaceAll(/\(\w+\)| (?:CPU|Processor)\b.*/g, '').trim();
const cores = availableParallelism();
const majorOf = ({ node }) => node.split('.')[0];

/** Rows that were not measured this time stay as they were, unless their file is gone. Each Node and machine has a file, and plots. */
export function save(results, plots = {}) {
  mkdirSync(folder, { recursive: true });
  const { node } = process.versions;
  const place = `node${majorOf({ node })}-${processor.toLowerCase().replaceAll(/\W+/g, '-')}-${cores}-cores`;
  const file = new URL(`results-${place}.json`, folder);
  const before = existsSync(file) ? read(file).rows : {};
  const date = new Date().toISOString().slice(0, 10);
  const measured = Object.fromEntries(Object.entries(results).map(([name, result]) => [name, { date, ...result }]));
  const rows = Object.fromEntries(
    Object.entries({ ...before, ...measured }).filter(([name]) => existsSync(new URL(`${name}.mjs`, rowsFolder))),
  );
  for (const [name, result] of Object.entries(rows)) {
    if (result.plot !== undefined) continue;
    result.plot = `${name}-${place}.svg`;
    writeFileSync(new URL(result.plot, folder), plots[name] ?? plotOf(result));
  }
  writeFileSync(file, `${JSON.stringify({ node, processor, cores, rows }, undefined, 2)}\n`);
  writeFileSync(new URL('README.md', folder), page());
}

/** The plot of a row that draws none itself: its figures. */
function plotOf({ title, rival, figures }) {
  const panelOf = ({ what, unit, ours, others = [], ...figure }) => ({
    label: `${what} (${unit})`,
    bars: [
      { name: 'this package', value: ours },
      { name: rival, value: figure.rival },
      ...others.map((other) => ({ name: other.name, value: other.rival })),
    ].map(({ name, value }) => ({ name: name.replaceAll('`', ''), value })),
  });
  return bars({ title, subtitle: 'The medians over the rounds.', panels: figures.map(panelOf) });
}

const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

function page() {
  const runs = readdirSync(folder)
    .filter((name) => RESULTS.test(name))
    .map((name) => read(new URL(name, folder)))
    .sort((one, other) => one.processor.localeCompare(other.processor) || majorOf(one) - majorOf(other));
  const described = Object.assign({}, ...runs.map(({ rows }) => rows));
  return `# Benchmarks

Written by \`npm run bench -- --save\` from the JSON files beside it: do not edit.

## At a glance

The figure that decides each row, by Node and machine: a ratio against its rival in the same run, or, if it has a unit, the figure itself.

${markdownTable(glance(described, runs))}

## How it is measured

Each row is a ratio against a rival in the same run. Every side has processes of its own. The sides are measured in turn
(A B, B A, …) in many short rounds; once in a run all of them are restarted. A figure is the median over the rounds, a
ratio the median of the rounds' ratios, with its quartiles. The first rival decides. Further rivals have a line each below
it, whose last column says whether the target would be reached against them.

Requests come from another process, over keep-alive connections, as fast as the server answers. That process never sleeps:
waking it would cost the server time. Where a row names a rate, requests are sent when they are due, whether or not earlier
ones have been answered, and a latency counts from the moment when the request was due, so that waiting is included. The
package has its default options, logger included, unless a row says otherwise.

A target is for the ratio, or, if it has a unit, for our figure itself. A server's CPU time stands beside its throughput
because it is steadier on a machine that does other things as well; its ratio is inverted, so that it reads like the
throughput's. The rows \`scaling-…\` ask how a cost grows with a number: the cost of *one* should not grow.

## To run them again

\`\`\`sh
npm run build
npm run bench                          # all rows
npm run bench -- no-task --rounds 100  # some rows, more rounds; --quick for a first look
npm run bench -- scaling               # all rows whose names begin with scaling
npm run bench -- --json results.json   # writes the results to a file
npm run bench -- --save                # writes the results to this page
\`\`\`

Ratios differ by machine as well, though less than the figures they are made of. A missed target does not fail the command; wrong results
do. [What was tried](notes.md) for the rows whose targets are missed. A row takes about a minute or two. Ten minutes of mixed load with faults are a program of their own, \`npm run soak\`: [what it printed](../faults.md#soak). \`fastapi\` is left out where there is no \`python3\` with \`fastapi\` and \`uvicorn\`.

${runs.map(section).join('\n')}
## The rows

${Object.entries(described)
  .map(([name, row]) => `### ${name}\n\n${capitalized(row.title)}. ${row.what} ${rivalsOf(row)}`)
  .join('\n\n')}
`;
}

function glance(described, runs) {
  const headings = [
    'row',
    'figure',
    'against',
    'target',
    ...runs.map((run) => `Node ${majorOf(run)}, ${run.processor}`),
  ];
  const rows = Object.entries(described).map(([name, { title, rival, figures }]) => {
    const verdicts = runs.map(({ rows: { [name]: row } }) => row && decisive(row));
    // A limit that depends on the rival differs by Node, and so does the number at which a cost grows most.
    const limits = [...new Set(verdicts.flatMap((verdict) => verdict?.limit ?? []))];
    const what = figures[0].what.replace(/(largest growth of the cost of one), at .*/, '$1');
    const cells = verdicts.map((verdict) =>
      verdict ? `${verdict.value}${verdict.isReached ? '' : ', not reached'}` : '',
    );
    return [`[${name}](#${name})`, `${title}: ${what}`, rival, limits.join(' / '), ...cells];
  });
  return [headings, headings.map(() => '---'), ...rows];
}

function rivalsOf({ rival, others }) {
  const further = others === undefined ? '' : `; further ones: ${others.join(', ')}`;
  return `The rival: ${rival}${further}.`;
}

const capitalized = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

function section({ node, processor, cores, rows }) {
  return `## Node ${node} on ${processor}, ${cores} cores

Measured on ${datesOf(rows)}.

${markdownTable([HEADINGS, HEADINGS.map(() => '---'), ...lines(rows)])}
${Object.entries(rows).map(beside).join('')}`;
}

/** Rows may be measured on different days. */
function datesOf(rows) {
  const dates = [...new Set(Object.values(rows).map(({ date }) => date))].sort();
  const [newest, ...others] = dates.toReversed();
  const namesOf = (day) =>
    Object.keys(rows)
      .filter((name) => rows[name].date === day)
      .map((name) => `\`${name}\``);
  return [newest, ...others.map((day) => `on ${day} ${namesOf(day).join(', ')}`)].join('; ');
}

/** The facts and the plot of a row. */
function beside([name, { title, facts, plot }]) {
  return [
    ...(facts === undefined ? [] : [`\n\`${name}\`: ${facts.join('; ')}.\n`]),
    ...(plot === undefined ? [] : [`\n![${title}](${plot})\n`]),
  ].join('');
}

function markdownTable(rows) {
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
