// `npm run bench [-- names] [--rounds N] [--quick] [--json FILE] [--save]`. Every file in rows/ is one benchmark. A name may be
// the first word of several: `scaling`.
import { readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { save } from './support/page.mjs';
import { resultOf, table } from './support/results.mjs';

// A disturbance of the machine lasts for seconds: with many short rounds it affects both sides.
const SETTINGS = { rounds: 80, roundMs: 250, warmUp: 60_000 };
const QUICK = { rounds: 12, roundMs: 150, warmUp: 5_000 };

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
});

const names = readdirSync(new URL('rows/', import.meta.url))
  .filter((file) => file.endsWith('.mjs'))
  .map((file) => file.slice(0, -'.mjs'.length));
const isMeant = (name, word) => name === word || name.startsWith(`${word}-`);
const unknown = wanted.filter((word) => !names.some((name) => isMeant(name, word)));
if (unknown.length > 0) throw new Error(`No such benchmark: ${unknown.join(', ')}. There are ${names.join(', ')}.`);

const settings = { ...(options.quick ? QUICK : SETTINGS) };
if (options.rounds !== undefined) settings.rounds = Number(options.rounds);
if (!Number.isInteger(settings.rounds) || settings.rounds < 1) throw new Error('Expected --rounds to be at least 1.');

const results = {};
const plots = {};
for (const name of names.filter((name) => wanted.length === 0 || wanted.some((word) => isMeant(name, word)))) {
  const { row, measure, cannotRun } = await import(`./rows/${name}.mjs`);
  if (cannotRun !== undefined) {
    process.stderr.write(`${name}: left out: ${cannotRun}\n`);
    continue;
  }
  process.stderr.write(`${name}: ${row.title}, against ${row.rival} …\n`);
  try {
    const measured = await measure(settings);
    const { figures, facts, plot } = Array.isArray(measured) ? { figures: measured } : measured;
    results[name] = resultOf(row, figures, facts);
    if (plot !== undefined) plots[name] = plot;
  } catch (error) {
    // The results of the other rows must not be lost.
    process.stderr.write(`${name}: failed: ${error.stack}\n`);
    process.exitCode = 1;
  }
}

// A missed target is for people to judge: noise must not fail a build.
console.log(table(results));
for (const [name, { facts }] of Object.entries(results))
  if (facts !== undefined) console.log(`${name}: ${facts.join('; ')}`);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`);
if (options.save) save(results, plots);
