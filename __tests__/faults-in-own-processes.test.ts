/** Faults that reach the whole process, in servers of their own, several at a time. */
import { describe, it } from '@jest/globals';
import { expectBorne, expectTold, faultsOf, isBearable } from './faults/expectations.ts';
import type { Report } from './faults/run-fault.ts';
import { runInOwnProcess } from './faults/run-in-own-process.ts';
import { EXECUTORS, type ExecutorName, type Fault } from './faults/table.ts';

/** In milliseconds: anything that takes longer counts as hanging. */
const LIMIT = 15_000;
/** The same for a task that is meant to hang. */
const LIMIT_OF_HANGING = 500;
const TEST_TIMEOUT = 120_000;

describe.each(EXECUTORS)('on the executor %s, a task that', (executor) => {
  const faults = faultsOf(executor, { inOwnProcess: true });
  const bearable = faults.filter((fault) => isBearable(fault, executor));
  const deadly = faults.filter((fault) => !isBearable(fault, executor));

  // All faults are committed in one server, and each is a test: the first one to begin starts them.
  let reports: Promise<readonly Report[]> | undefined;
  it.concurrent.each(bearable)(
    '$what: only its caller is told, and everything else goes on',
    async (fault) => {
      reports ??= runInOwnProcess(executor, bearable, LIMIT);
      expectBorne((await reports)[bearable.indexOf(fault)] as Report, fault, executor);
    },
    TEST_TIMEOUT,
  );

  if (deadly.length > 0) {
    it.concurrent.each(deadly)(
      '$what: it is the end of the whole server, and the documents say so',
      async (fault) => {
        const [report] = await runInOwnProcess(executor, [fault], limitOf(fault, executor));
        expectTold(report as Report, fault, executor);
      },
      TEST_TIMEOUT,
    );
  }
});

function limitOf({ expected }: Fault, executor: ExecutorName): number {
  return expected[executor] === 'the server hangs' ? LIMIT_OF_HANGING : LIMIT;
}
