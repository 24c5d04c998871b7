/** Faults that reach the whole process: each in a server of its own, several at a time. */
import { describe, it } from '@jest/globals';
import { expectBorne, expectTold, faultsOf, isBearable } from './faults/expectations.ts';
import type { Report } from './faults/run-fault.ts';
import { runInOwnProcess } from './faults/run-in-own-process.ts';
import { EXECUTORS, type ExecutorName, type Fault } from './faults/table.ts';

/** What takes longer hangs, in milliseconds. */
const LIMIT = 15_000;
/** The same of one that is to hang. */
const LIMIT_OF_HANGING = 500;
const TEST_TIMEOUT = 120_000;

describe.each(EXECUTORS)('on the executor %s, a task that', (executor) => {
  const faults = faultsOf(executor, { inOwnProcess: true });
  const bearable = faults.filter((fault) => isBearable(fault, executor));
  const deadly = faults.filter((fault) => !isBearable(fault, executor));

  it.concurrent.each(bearable)(
    '$what: it alone is told, and all else goes on',
    async (fault) => expectBorne(await commit(fault, executor), fault, executor),
    TEST_TIMEOUT,
  );

  if (deadly.length > 0) {
    it.concurrent.each(deadly)(
      '$what: it is the end of the whole server, and the documents say so',
      async (fault) => expectTold(await commit(fault, executor), fault, executor),
      TEST_TIMEOUT,
    );
  }
});

function commit(fault: Fault, executor: ExecutorName): Promise<Report> {
  const isToHang = fault.expected[executor] === 'the server hangs';
  return runInOwnProcess(executor, fault, isToHang ? LIMIT_OF_HANGING : LIMIT);
}
