/** A web process that adds tasks to an engine in memory, and the workers that run them. */
import {
  type BackgroundTasksOptions,
  backgroundTasks,
  createWorker,
  type DurableBackgroundTasks,
  type DurableTask,
  type TaskHandle,
  type TaskWorker,
  type WorkerOptions,
} from 'express-background-tasks';
import { type MemoryEngine, memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd } from './cleanup.ts';
import { until } from './durable-app.ts';
import { type LogBook, openLogBook } from './log-book.ts';

const QUICK = { retry: { delay: 1 } };

export interface Setting {
  readonly engine: MemoryEngine;
  readonly web: DurableBackgroundTasks;
  readonly log: LogBook;
  work(options?: Partial<WorkerOptions>): Promise<TaskWorker>;
  until(handle: Pick<TaskHandle, 'id'>, state: DurableTask['state']): Promise<DurableTask>;
}

/** One that ends with the test. */
export function setting(): Setting {
  const opened = openSetting();
  atEnd(opened.close);
  return opened;
}

export function openSetting(options: BackgroundTasksOptions = {}): Setting & { close(): Promise<unknown> } {
  const engine = memoryEngine();
  const log = openLogBook();
  const web = backgroundTasks({ ...options, engine: engine.connect(), logger: false, ...QUICK });
  const workers: TaskWorker[] = [];
  return {
    engine,
    web,
    log,
    async work(workerOptions = {}) {
      const worker = await createWorker({ engine: engine.connect(), logger: log.logger, ...workerOptions });
      workers.push(worker);
      return worker;
    },
    async until({ id }, state) {
      const connection = await connected(engine);
      return until(
        () => connection.find(id),
        (task) => task?.state === state,
      ) as Promise<DurableTask>;
    },
    close: () => Promise.all([...workers, web].map((one) => one.close({ timeout: 0 }))),
  };
}

export async function connected(engine: MemoryEngine): Promise<MemoryEngine> {
  const connection = engine.connect();
  await connection.start({ warn() {}, error() {} });
  return connection;
}
