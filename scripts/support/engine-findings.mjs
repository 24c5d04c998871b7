// What the proof of the engines has found, as the table in docs/faults.md.
import { existsSync, readFileSync } from 'node:fs';

const HEADINGS = [
  'what was done',
  'on',
  'accepted',
  'lost',
  'started twice',
  'ran, or ran again, after',
  'at most, by the options',
  '',
];

/** @param file lines of JSON, as __tests__/engines/support/proof-findings.ts notes them. */
export function tableOf(file) {
  if (!existsSync(file)) return '';
  const findings = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const rows = [...new Set(findings.map(({ what }) => what))].flatMap((what) =>
    findings.filter((finding) => finding.what === what).map(rowOf),
  );
  return [HEADINGS, HEADINGS.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

function rowOf({ what, on, accepted, lost, twice, again, remark = '' }, index) {
  const times = again === undefined ? ['', ''] : [again.afterMs, again.withinMs].map(seconds);
  return [index === 0 ? what : '', on, accepted, lost, twice, ...times, remark];
}

const seconds = (milliseconds) => (milliseconds === 0 ? 'at once' : `${(milliseconds / 1_000).toFixed(1)} s`);
