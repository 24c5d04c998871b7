/** Records what must never reach the process while a file's tests run, and fails the file if anything did. */
import { afterAll, beforeAll, expect } from '@jest/globals';
import { runInThisContext } from 'node:vm';

// Jest hands tests a copy of `process` that no event reaches.
const realProcess = runInThisContext('process') as NodeJS.Process;

const OWN_MARK = 'EndOfFile';

/** To be called once, at the top of a test file. */
export function expectNoProcessFaults(): void {
  const faults: string[] = [];
  const onException = (error: unknown): void => {
    faults.push(`uncaughtException: ${String(error)}`);
  };
  const onRejection = (reason: unknown): void => {
    faults.push(`unhandledRejection: ${String(reason)}`);
  };
  const onWarning = (warning: Error): void => {
    if (warning.name === 'MaxListenersExceededWarning') faults.push(`${warning.name}: ${warning.message}`);
  };

  beforeAll(() => {
    realProcess.on('uncaughtExceptionMonitor', onException);
    realProcess.on('unhandledRejection', onRejection);
    realProcess.on('warning', onWarning);
  });

  afterAll(async () => {
    await warningsAreIn();
    realProcess.off('uncaughtExceptionMonitor', onException);
    realProcess.off('unhandledRejection', onRejection);
    realProcess.off('warning', onWarning);
    expect(faults).toEqual([]);
  });
}

/** Warnings and unhandled rejections are told on a later tick: a warning of our own comes behind them. */
function warningsAreIn(): Promise<void> {
  const printers = realProcess.listeners('warning');
  realProcess.removeAllListeners('warning');
  return new Promise<void>((resolve) => {
    realProcess.once('warning', () => {
      for (const printer of printers) realProcess.on('warning', printer);
      resolve();
    });
    realProcess.emitWarning('the file ends', OWN_MARK);
  });
}
