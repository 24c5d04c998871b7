/** One instance with one thread for all tests of a `describe`. */
import type { BackgroundTasks, BackgroundTasksOptions } from 'express-background-tasks';
import { shareBackground } from './shared-background.ts';

/** To be called in a `describe`; what it returns gives the instance, inside tests. */
export function shareThread(options: BackgroundTasksOptions = {}): () => BackgroundTasks {
  return shareBackground({ pool: { maxThreads: 1 }, ...options });
}
