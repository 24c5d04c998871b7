/** One instance with one thread for all tests of a `describe`: a thread takes longer to start than most tests to run. */
import { afterAll, beforeAll } from '@jest/globals';
import { type BackgroundTasks, type BackgroundTasksOptions, backgroundTasks } from 'express-background-tasks';

const CLOSE_TIMEOUT = 500;

/** To be called in a `describe`; what it returns gives the instance, inside tests. */
export function shareThread(options: BackgroundTasksOptions = {}): () => BackgroundTasks {
  let background: BackgroundTasks;
  beforeAll(() => {
    background = backgroundTasks({ logger: false, pool: { maxThreads: 1 }, ...options });
  });
  afterAll(() => background.close({ timeout: CLOSE_TIMEOUT }));
  return () => background;
}
