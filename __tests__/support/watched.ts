/** Instances that are watched, and the blocks that they report. */
import { afterAll, beforeAll } from '@jest/globals';
import express, { type Express } from 'express';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  type BlockedEvent,
  backgroundTasks,
} from 'express-background-tasks';
import { spin } from '../fixtures/watchdog-work.ts';
import { makeBackground } from './cleanup.ts';
import { News } from './news.ts';

export const THRESHOLD = 50;

/**
 * The watchdog's thread takes some time to start: this keeps it for all tests of a file, or of a `describe`. A new one has
 * all of its budget for samples, which cost much in the large heap of a test.
 */
export function keepWatching(): void {
  let keeper: BackgroundTasks;
  beforeAll(async () => {
    keeper = backgroundTasks({ logger: false, watchdog: { threshold: THRESHOLD } });
    const blocks = listenTo(keeper);
    do {
      keeper.add(spin, 4 * THRESHOLD);
      await blocks.next();
    } while (blocks.last.stack.length === 0);
  });
  afterAll(() => keeper.close());
}

export interface Blocks {
  readonly events: readonly BlockedEvent[];
  readonly last: BlockedEvent;
  /** Those of tasks. Anything else that blocks the process, such as jest, is reported to all instances. */
  readonly tasks: readonly (string | undefined)[];
  /** Resolves to the first that matches, be it there already. */
  until(matches: (event: BlockedEvent) => boolean, from?: number): Promise<BlockedEvent>;
  ofTask(name: string): Promise<BlockedEvent>;
  next(): Promise<BlockedEvent>;
}

export function listenTo(background: BackgroundTasks): Blocks {
  const events: BlockedEvent[] = [];
  const news = new News();
  background.on('blocked', (event) => {
    events.push(event);
    news.came();
  });
  const until = (matches: (event: BlockedEvent) => boolean, from = 0): Promise<BlockedEvent> =>
    news.until(() => events.slice(from).find(matches));
  return {
    events,
    get last() {
      return events.at(-1) as BlockedEvent;
    },
    get tasks() {
      return events.filter(({ cause }) => cause === 'task').map(({ task }) => task?.name);
    },
    until,
    ofTask: (name) => until(({ task }) => task?.name === name),
    next: () => until(() => true, events.length),
  };
}

export interface Watched {
  readonly app: Express;
  readonly background: BackgroundTasks;
  readonly blocks: Blocks;
}

export function watch(options: BackgroundTasksOptions = {}): Watched {
  const background = makeBackground({ watchdog: { threshold: THRESHOLD }, ...options });
  const app = express();
  app.use(background);
  return { app, background, blocks: listenTo(background) };
}
