/** One instance for all tests of a `describe`: a thread or a process takes longer to start than most tests to run. */
import { afterAll, beforeAll } from '@jest/globals';
import { type BackgroundTasks, type BackgroundTasksOptions, backgroundTasks } from 'express-background-tasks';

const CLOSE_TIMEOUT = 500;

/** To be called in a `describe`; what it returns gives the instance, inside tests. */
export function shareBackground(options: BackgroundTasksOptions = {}): () => BackgroundTasks {
  let background: BackgroundTasks;
  beforeAll(() => {
    background = backgroundTasks({ logger: false, ...options });
  });
  afterAll(() => background.close({ timeout: CLOSE_TIMEOUT }));
  return () => background;
}
