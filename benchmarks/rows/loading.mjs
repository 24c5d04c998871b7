import { execFileSync } from 'node:child_process';
import { pick } from '../support/interleave.mjs';

export const row = {
  title: 'loading the package',
  what: 'A program imports the package, or something else, and nothing more: from before the import until after it.',
  rival: 'Express 5',
  others: { piscina: 'Piscina' },
  toReach: {},
};

const PACKAGES = { ours: 'express-background-tasks', rival: 'express', piscina: 'piscina' };

/** How each module system loads a package. */
const SYSTEMS = {
  import: { type: 'module', load: (name) => `await import('${name}')` },
  require: { type: 'commonjs', load: (name) => `require('${name}')` },
};

/** Every sample is a process of its own: a package is loaded once. */
function sampleOf({ type, load }, name) {
  const program = `
    const startedAt = performance.now();
    const before = process.cpuUsage();
    ${load(name)};
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ ms: performance.now() - startedAt, cpu: (user + system) / 1_000 }));`;
  return JSON.parse(execFileSync(process.execPath, [`--input-type=${type}`, '--eval', program]));
}

export function measure({ rounds }) {
  const sides = Object.entries(PACKAGES);
  return Object.entries(SYSTEMS).flatMap(([system, how]) => {
    const samples = Object.fromEntries(sides.map(([side]) => [side, []]));
    for (let round = 0; round < rounds / 2; round += 1) {
      const order = round % 2 === 0 ? sides : sides.toReversed();
      for (const [side, name] of order) samples[side].push(sampleOf(how, name));
    }
    return [
      { what: `by \`${system}\``, unit: 'ms', ...pick(samples, 'ms') },
      { what: `by \`${system}\`, CPU`, unit: 'ms', ...pick(samples, 'cpu') },
    ];
  });
}
