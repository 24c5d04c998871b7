/** What a test of the proof has found: noted for the table in the documentation, and compared with what is promised. */
import { appendFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import type { Journal } from './proof-journal.ts';

/** Where findings are noted, a line of JSON each: scripts/support/engine-findings.mjs makes the table of them. */
const NOTES = process.env['ENGINE_PROOF'];

/** What the work itself takes: answers of the engine, writes to its disk. */
const WORK = 1_000;

/** How long something may take, in milliseconds, for which the options in force allow `withinMs`. */
export function atMost(withinMs: number, { lateness }: Journal): number {
  return withinMs + WORK + lateness.ms;
}

export interface Finding {
  /** What was done, as a row of the table calls it. */
  readonly what: string;
  readonly on: string;
  readonly journal: Journal;
  /** By default what was accepted and has not ended. */
  readonly lost?: readonly string[];
  /** The tasks that a worker had when something went wrong. No others may have been started twice. */
  readonly mayRunTwice?: readonly string[];
  /** How long it took until what was held up ran, and how long it may take by the limits in force. In milliseconds. */
  readonly again?: { readonly afterMs: number; readonly withinMs: number };
  readonly remark?: string;
}

export function conclude({ what, on, journal, mayRunTwice = [], again, remark, ...finding }: Finding): void {
  const { lost = journal.missing } = finding;
  if (NOTES !== undefined) {
    const [accepted, twice] = [journal.ids('accepted').length, journal.startedTwice.length];
    appendFileSync(NOTES, `${JSON.stringify({ what, on, accepted, lost: lost.length, twice, again, remark })}\n`);
  }
  expect(lost).toEqual([]);
  expect(journal.startedTwice.filter((id) => !mayRunTwice.includes(id))).toEqual([]);
  if (again === undefined) return;
  expect(again.afterMs).toBeGreaterThanOrEqual(0);
  expect(again.afterMs).toBeLessThanOrEqual(atMost(again.withinMs, journal));
}
