/** Line numbers of the fixtures, for tests that check them. */
import { readFileSync } from 'node:fs';
import { fixture } from './fixtures.ts';

/** The number of the first line of a fixture that has this text, from 1. */
export function lineWith(file: string, text: string): number {
  const index = readFileSync(fixture(file), 'utf8')
    .split('\n')
    .findIndex((line) => line.includes(text));
  if (index === -1) throw new Error(`${file} has no line with ${text}`);
  return index + 1;
}

/** The lines from the one with `from` to the next with `to`, both included. */
export function linesBetween(file: string, from: string, to: string): number[] {
  const lines = readFileSync(fixture(file), 'utf8').split('\n');
  const first = lineWith(file, from);
  const last = lines.findIndex((line, index) => index >= first && line.includes(to)) + 1;
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
