// Writes results to docs/benchmarks/, and the page there from all the results that lie beside it.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { HEADINGS, lines } from './results.mjs';

const folder = new URL('../../docs/benchmarks/', import.meta.url);
const RESULTS = /^results-node(\d+)\.json$/;

/** Rows that were not measured this time stay as they were. A row's plot lies beside the results of its Node. */
export function save(results, plots = {}) {
  mkdirSync(folder, { recursive: true });
  const [major] = process.versions.node.split('.');
  const file = new URL(`results-node${major}.json`, folder);
  const before = existsSync(file) ? read(file).rows : {};
  for (const [name, plot] of Object.entries(plots)) {
    const image = `${name}-node${major}.svg`;
    writeFileSync(new URL(image, folder), plot);
    results[name] = { ...results[name], plot: image };
  }
  const run = {
    node: process.versions.node,
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? 'unknown',
    date: new Date().toISOString().slice(0, 10),
    rows: { ...before, ...results },
  };
  writeFileSync(file, `${JSON.stringify(run, undefined, 2)}\n`);
  writeFileSync(new URL('README.md', folder), page());
}

const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

function page() {
  const runs = readdirSync(folder)
    .filter((name) => RESULTS.test(name))
    .sort((a, b) => Number(RESULTS.exec(a)[1]) - Number(RESULTS.exec(b)[1]))
    .map((name) => read(new URL(name, folder)));
  const described = Object.assign({}, ...runs.map(({ rows }) => rows));
  return `# Benchmarks

Written by \`npm run bench -- --save\` from the JSON files beside it: do not edit.

Each row is a ratio against a rival in the same run. Both sides have processes of their own and are measured by turns
(A B, B A, …) in many short rounds; a few times in a run both are started anew. A figure is the median over the rounds, a
ratio the median of the rounds' ratios, with its quartiles. Load comes from another process, over keep-alive connections.
The package has its default options, logger included, but for what a row says. The first figure of a row decides; the CPU
time beside it is the steadier one on a machine that does other things as well. Its ratio is turned so that it reads like the first.

## The rows

${Object.entries(described)
  .map(([name, { title, what, rival }]) => `- \`${name}\`, ${title}. ${what} The rival: ${rival}.`)
  .join('\n')}

## To run them again

\`\`\`sh
npm run build
npm run bench                          # all rows
npm run bench -- no-task --rounds 100  # some rows, more rounds; --quick for a first look
npm run bench -- --json results.json   # the results in a file
npm run bench -- --save                # into this page
\`\`\`

The ratios hold on other machines, the figures do not. A row that is not reached does not fail the command.

${runs.map(section).join('\n')}`;
}

function section({ node, cores, processor, date, rows }) {
  return `## Node ${node}

${date}, ${cores} cores, ${processor}.

${markdownTable([HEADINGS, HEADINGS.map(() => '---'), ...lines(rows)])}
${Object.entries(rows).map(beside).join('')}`;
}

/** What a row has to show beside its figures. */
function beside([name, { title, facts, plot }]) {
  return [
    ...(facts === undefined ? [] : [`\n\`${name}\`: ${facts.join('; ')}.\n`]),
    ...(plot === undefined ? [] : [`\n![${title}](${plot})\n`]),
  ].join('');
}

function markdownTable(rows) {
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
