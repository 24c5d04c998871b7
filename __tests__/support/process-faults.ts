/** What reaches the process: recorded, and fails a file's tests, where it must never happen; survived where it is meant to. */

import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, expect } from '@jest/globals';

// Jest hands tests a copy of `process` that no event reaches.
const realProcess = runInThisContext('process') as NodeJS.Process;

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
    await nextTurn();
    realProcess.off('uncaughtExceptionMonitor', onException);
    realProcess.off('unhandledRejection', onRejection);
    realProcess.off('warning', onWarning);
    expect(faults).toEqual([]);
  });
}

/** While `work` runs, the process survives what is thrown where nobody catches it. Resolves to that. */
export async function surviveThrows(work: () => Promise<void>): Promise<unknown[]> {
  const thrown: unknown[] = [];
  realProcess.setUncaughtExceptionCaptureCallback((error) => thrown.push(error));
  try {
    await work();
  } finally {
    realProcess.setUncaughtExceptionCaptureCallback(null);
  }
  return thrown;
}

/** Warnings and unhandled rejections are emitted when all ticks and promises have run, before the next turn begins. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
