/** The clock of the code under test, which counts from no particular moment. */
import { jest } from '@jest/globals';
import { atEnd } from './cleanup.ts';

/** Moves it forward by this many milliseconds, until the test ends. Timers do not fire earlier for it. */
export function later(milliseconds: number): void {
  const now = performance.now.bind(performance);
  const spy = jest.spyOn(performance, 'now').mockImplementation(() => now() + milliseconds);
  atEnd(() => spy.mockRestore());
}
