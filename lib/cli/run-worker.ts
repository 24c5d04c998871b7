/** `work`: a worker from its start to the end of what runs, as a program. */

import { SECOND } from '../timers.ts';
import { toError } from '../to-error.ts';
import { createWorker, type TaskWorker } from '../worker.ts';
import type { WorkCommand } from './arguments.ts';
import { type Health, reportHealth } from './health.ts';
import { engineOf, importRegistry } from './modules.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** npx, and npm, pass on what they get: where a terminal or a service manager sends it to all, it comes twice. */
const SAME_SIGNAL = 1 * SECOND;

export async function runWorker(command: WorkCommand, print: (line: string) => void): Promise<void> {
  const { registry, queue, concurrency, threads, timeout } = command;
  let worker: TaskWorker | undefined;
  let isClosing = false;
  let askedAt = 0;

  const ask = async (): Promise<Health> => {
    if (worker === undefined || isClosing) return { isWell: false, phase: isClosing ? 'closing' : 'starting' };
    const { running, settled } = worker.stats();
    try {
      return { isWell: true, running, settled, engine: await worker.engineStats() };
    } catch (error) {
      return { isWell: false, running, settled, engine: toError(error).message };
    }
  };
  const health = await reportHealth(command.health, ask);
  if (health.url !== undefined) print(`Health: ${health.url}`);

  const end = async (signal: string): Promise<void> => {
    // Before it takes tasks there is nothing to be lost; and whoever asks again does not want to wait.
    if (worker === undefined) process.exit(0);
    if (isClosing && performance.now() - askedAt < SAME_SIGNAL) return;
    if (isClosing) process.exit(1);
    isClosing = true;
    askedAt = performance.now();
    print(`${signal}: takes no more tasks, and ends when those that run have, in ${timeout} ms at most`);
    const { completed, failed, abandoned } = await worker.close({ timeout });
    health.end();
    print(`Ended: ${completed} completed, ${failed} failed, ${abandoned.length} given back`);
    process.exit(0);
  };
  for (const signal of SIGNALS) process.on(signal, () => void end(signal));

  await importRegistry(registry);
  const engine = await engineOf(command.engine, queue);
  worker = await createWorker({ engine, concurrency, pool: { maxThreads: threads } });
  health.changed();
  print(`Takes tasks of ${engine.name}: ${worker.tasks.join(', ')}`);
}
