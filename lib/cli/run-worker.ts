/** The command `work`: a worker as a program, from its start to the end of the tasks that run. */

import { createWorker, type TaskWorker } from '../create-worker.ts';
import { SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { WorkCommand } from './arguments.ts';
import { type Health, type HealthReports, reportHealth } from './health.ts';
import { engineOf, importRegistry } from './modules.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** A terminal signals npx as well as this process, and npx passes its signal on: the same one comes twice. */
const SAME_SIGNAL = 1 * SECOND;

type Print = (line: string) => void;

export async function runWorker(command: WorkCommand, print: Print): Promise<void> {
  const { registry, queue, concurrency, threads, timeout } = command;
  const program = new WorkerProgram(print);
  const health = await reportHealth(command.health, () => program.health());
  if (health.url !== undefined) print(`Health: ${health.url}`);
  for (const signal of SIGNALS) process.on(signal, () => void program.end(signal, timeout, health));

  await importRegistry(registry);
  const engine = await engineOf(command.engine, queue);
  const worker = await createWorker({ engine, concurrency, pool: { maxThreads: threads } });
  program.worker = worker;
  health.changed();
  print(`Takes tasks from ${engine.name}: ${worker.tasks.join(', ')}`);
}

class WorkerProgram {
  /** Set when it takes tasks. */
  worker: TaskWorker | undefined;
  readonly #print: Print;
  #closingSince: number | undefined;

  constructor(print: Print) {
    this.#print = print;
  }

  async health(): Promise<Health> {
    if (this.#closingSince !== undefined) return { isWell: false, phase: 'closing' };
    if (this.worker === undefined) return { isWell: false, phase: 'starting' };
    const { running, settled } = this.worker.stats();
    try {
      return { isWell: true, running, settled, engine: await this.worker.engineStats() };
    } catch (error) {
      return { isWell: false, running, settled, engine: toError(error).message };
    }
  }

  /** Ends the process. */
  async end(signal: string, timeout: number, health: HealthReports): Promise<void> {
    // Before it takes tasks there is nothing to be lost.
    if (this.worker === undefined) process.exit(0);
    if (this.#closingSince !== undefined) {
      if (performance.now() - this.#closingSince < SAME_SIGNAL) return;
      // A second signal means: do not wait.
      process.exit(1);
    }
    this.#closingSince = performance.now();
    this.#print(`${signal}: takes no more tasks; running tasks have ${timeout} ms to end`);
    const { completed, failed, abandoned } = await this.worker.close({ timeout });
    health.end();
    this.#print(`Ended: ${completed} completed, ${failed} failed, ${abandoned.length} given back`);
    process.exit(0);
  }
}
