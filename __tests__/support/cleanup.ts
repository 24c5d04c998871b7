/** What a test opens is closed when the test ends, last opened first. Importing it is all that a test file does for that. */
import { afterEach } from '@jest/globals';
import { type BackgroundTasks, type BackgroundTasksOptions, backgroundTasks } from 'express-background-tasks';

const closers: (() => unknown)[] = [];

/** Calls `close` when the test that is running has ended. */
export function atEnd(close: () => unknown): void {
  closers.push(close);
}

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const CLOSE_TIMEOUT = 500;

/** An instance that logs nothing unless told to, and is closed when the test ends. */
export function makeBackground(options: BackgroundTasksOptions = {}): BackgroundTasks {
  const background = backgroundTasks({ logger: false, ...options });
  atEnd(() => background.close({ timeout: CLOSE_TIMEOUT }));
  return background;
}
