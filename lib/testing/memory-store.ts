/** The tasks of a memory engine, and its workers. Every method is synchronous, so that no call sees another half done. */
import type {
  DiscardResult,
  DurableState,
  DurableTask,
  EngineRetry,
  EngineStats,
  ReleaseResult,
  StagedTask,
  WorkFunction,
  WorkResult,
} from '../durable/engine.ts';
import { retryInMsAfter } from '../retry.ts';
import { LONGEST_TIMER } from '../time/timers.ts';
import { toError } from '../to-error.ts';

/** How many ended tasks can still be found; the oldest are forgotten first. */
const MOST_ENDED = 10_000;

interface MemoryTask {
  readonly id: string;
  readonly name: string;
  /** The envelope. As text, so that no attempt sees what another did to the arguments. */
  readonly json: string;
  readonly priority: number;
  readonly retry: EngineRetry;
  readonly stagedAt: number;
  state: DurableState | 'discarded';
  attempts: number;
  value?: unknown;
  error?: NonNullable<DurableTask['error']>;
  /** Runs while the task is held, postponed, or between two attempts. */
  timer?: NodeJS.Timeout;
}

export class MemoryWorker {
  readonly run: WorkFunction;
  readonly concurrency: number;
  readonly inFlight = new Map<MemoryTask, { readonly ended: Promise<void>; readonly lost: AbortController }>();
  /** Keeps the process alive while the worker waits for tasks. */
  readonly keepAlive = setInterval(() => {}, LONGEST_TIMER);

  constructor(run: WorkFunction, concurrency: number) {
    this.run = run;
    this.concurrency = concurrency;
  }
}

export class MemoryStore {
  readonly #tasks = new Map<string, MemoryTask>();
  /** Tasks that may run, in the order in which they will. */
  readonly #ready: MemoryTask[] = [];
  readonly #workers = new Set<MemoryWorker>();
  readonly #ended = new Set<MemoryTask>();

  stage(tasks: readonly StagedTask[]): void {
    // Before any is kept: JSON.stringify throws if one of them is not JSON.
    const staged = tasks.map(({ envelope, holdMs, priority, retry }): [MemoryTask, number] => {
      const { id, task: name } = envelope;
      const facts = { id, name, json: JSON.stringify(envelope), priority, retry, stagedAt: Date.now() };
      return [{ ...facts, state: 'held', attempts: 0 }, holdMs];
    });
    for (const [task, holdMs] of staged) {
      if (this.#tasks.has(task.id)) continue;
      this.#tasks.set(task.id, task);
      this.#readyIn(holdMs, task, 'held');
    }
  }

  release(id: string): ReleaseResult {
    const task = this.#tasks.get(id);
    if (task?.state !== 'held') return 'already';
    this.#makeReady(task);
    return 'released';
  }

  discard(id: string): DiscardResult {
    const task = this.#tasks.get(id);
    if (task?.state === 'held') {
      clearTimeout(task.timer);
      this.#end(task, 'discarded');
    }
    return task?.state === 'discarded' ? 'discarded' : 'too-late';
  }

  find(searched: string): DurableTask | undefined {
    const task = this.#tasks.get(searched);
    if (task === undefined || task.state === 'discarded') return undefined;
    const { id, name, state, attempts, value, error } = task;
    return { id, name, state, attempts, ...(value !== undefined && { value }), ...(error && { error }) };
  }

  stats(): EngineStats {
    const stats = { held: 0, waiting: 0, running: 0, retrying: 0, completed: 0, failed: 0, discarded: 0 };
    for (const { state } of this.#tasks.values()) stats[state] += 1;
    const { held, waiting, running, failed } = stats;
    return { held, waiting, running, failed };
  }

  employ(worker: MemoryWorker): void {
    this.#workers.add(worker);
    this.#handOut();
  }

  /** The worker gets no more tasks. Resolves when those that it has have ended. */
  async dismiss(worker: MemoryWorker): Promise<void> {
    this.#workers.delete(worker);
    await Promise.all([...worker.inFlight.values()].map(({ ended }) => ended));
    clearInterval(worker.keepAlive);
  }

  /** The worker is gone: other workers get its tasks. */
  abandon(worker: MemoryWorker): void {
    this.#workers.delete(worker);
    clearInterval(worker.keepAlive);
    for (const [task, { lost }] of worker.inFlight) {
      worker.inFlight.delete(task);
      lost.abort(new Error('The memory engine was closed while the task ran, and gave it to another worker.'));
      this.#makeReady(task);
    }
  }

  #readyIn(milliseconds: number, task: MemoryTask, meanwhile: 'held' | 'retrying' | 'waiting'): void {
    if (milliseconds <= 0) {
      this.#makeReady(task);
      return;
    }
    task.state = meanwhile;
    task.timer = setTimeout(() => this.#makeReady(task), Math.min(milliseconds, LONGEST_TIMER)).unref();
  }

  #makeReady(task: MemoryTask): void {
    clearTimeout(task.timer);
    task.state = 'waiting';
    const last = this.#ready.findLastIndex(({ priority }) => priority >= task.priority);
    this.#ready.splice(last + 1, 0, task);
    this.#handOut();
  }

  #handOut(): void {
    for (;;) {
      const worker = this.#idlest();
      const task = worker === undefined ? undefined : this.#ready.shift();
      if (worker === undefined || task === undefined) return;
      task.state = 'running';
      task.attempts += 1;
      const lost = new AbortController();
      worker.inFlight.set(task, { lost, ended: this.#run(task, worker, lost.signal) });
    }
  }

  #idlest(): MemoryWorker | undefined {
    return [...this.#workers]
      .filter(({ inFlight, concurrency }) => inFlight.size < concurrency)
      .sort((one, other) => one.inFlight.size - other.inFlight.size)[0];
  }

  async #run(task: MemoryTask, worker: MemoryWorker, signal: AbortSignal): Promise<void> {
    const { attempts: attempt, stagedAt, json } = task;
    const retryInMs = retryInMsAfter(attempt, task.retry);
    let result: WorkResult;
    try {
      result = await worker.run(JSON.parse(json), { attempt, retryInMs, stagedAt, signal });
    } catch (thrown) {
      result = { kind: 'failed', error: toError(thrown), retry: true };
    }
    // Lost: another worker has the task by now.
    if (signal.aborted) return;
    worker.inFlight.delete(task);
    this.#settle(task, result, retryInMs);
    this.#handOut();
  }

  #settle(task: MemoryTask, result: WorkResult, retryInMs: number | undefined): void {
    if (result.kind === 'postponed') {
      task.attempts -= 1;
      this.#readyIn(result.delayMs, task, 'waiting');
      return;
    }
    if (result.kind === 'completed') {
      if (result.value !== undefined) task.value = JSON.parse(JSON.stringify(result.value));
      delete task.error;
      this.#end(task, 'completed');
      return;
    }
    task.error = errorFacts(result.error);
    if (!result.retry || retryInMs === undefined) this.#end(task, 'failed');
    else this.#readyIn(retryInMs, task, 'retrying');
  }

  #end(task: MemoryTask, state: 'completed' | 'failed' | 'discarded'): void {
    task.state = state;
    this.#ended.add(task);
    if (this.#ended.size <= MOST_ENDED) return;
    const [oldest] = this.#ended as Iterable<MemoryTask> as [MemoryTask];
    this.#ended.delete(oldest);
    this.#tasks.delete(oldest.id);
  }
}

function errorFacts(error: Error & { code?: unknown }): NonNullable<DurableTask['error']> {
  const { name, message, code, stack } = error;
  return { name, message, ...(typeof code === 'string' && { code }), ...(stack !== undefined && { stack }) };
}
