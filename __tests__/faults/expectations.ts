/** Compares what the table expects of an executor with what was reported. */
import { expect } from '@jest/globals';
import { type Report, UNHARMED } from './run-fault.ts';
import { type ExecutorName, FAULTS, type Fault, isPossible } from './table.ts';

/** The faults that an executor can commit: each in a process of its own, or all in one server. */
export function faultsOf(executor: ExecutorName, { inOwnProcess }: { inOwnProcess: boolean }): Fault[] {
  return FAULTS.filter(
    ({ expected, needsOwnProcess }) =>
      isPossible(expected[executor]) && (needsOwnProcess?.includes(executor) ?? false) === inOwnProcess,
  );
}

/** Whether the server is to survive it. */
export function isBearable({ expected }: Fault, executor: ExecutorName): boolean {
  return !String(expected[executor]).startsWith('the server ');
}

export function expectBorne(report: Report, fault: Fault, executor: ExecutorName): void {
  expectTold(report, fault, executor);
  expect(report).toMatchObject({ others: UNHARMED, servesAgain: true, pings: { unanswered: 0 } });
  expect(report.pings.answered).toBeGreaterThan(0);
  if (fault.mostStarted !== undefined) expect(report.settledInWindow).toBeLessThanOrEqual(fault.mostStarted);
}

export function expectTold({ caller }: Report, { expected }: Fault, executor: ExecutorName): void {
  const expectation = expected[executor];
  if (expectation instanceof RegExp) expect(caller).toMatch(expectation);
  else expect(caller).toBe(expectation);
}
