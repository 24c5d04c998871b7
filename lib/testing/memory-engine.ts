/** An engine that keeps its tasks in this process: for tests, and as the shortest example of an engine. */
import type {
  DiscardResult,
  DurableTask,
  EngineHost,
  EngineStats,
  EngineWorker,
  EngineWorkOptions,
  ReleaseResult,
  StagedTask,
  StageOptions,
  TaskEngine,
  WorkFunction,
} from '../durable/engine.ts';
import { nextTurn } from '../time/real-time.ts';
import { MemoryStore, MemoryWorker } from './memory-store.ts';

/** A method of a {@link TaskEngine}. */
export type EngineMethod = Exclude<keyof TaskEngine, 'name' | 'features'>;

/** How an engine in memory misbehaves. */
export interface MemoryEngineOptions {
  /**
   * Is called instead of each method, to make an engine that fails, hangs or is slow.
   *
   * `proceed` calls the method and resolves to its result. The caller gets what this function returns, or rejects with:
   * so a call can be refused before it is made, or its answer lost afterwards.
   *
   * @default each call is made.
   * @example
   * let isDown = false;
   * const engine = memoryEngine({
   *   intercept: async (method, proceed) => {
   *     if (isDown && method === 'stage') throw new Error('connection refused');
   *     return proceed();
   *   },
   * });
   */
  readonly intercept?: (
    method: EngineMethod,
    proceed: () => Promise<unknown>,
    args: readonly unknown[],
  ) => Promise<unknown>;
}

/** What {@link memoryEngine} returns. */
export interface MemoryEngine extends TaskEngine {
  /** Another engine over the same tasks, as another process would have it. */
  connect(options?: MemoryEngineOptions): MemoryEngine;
}

/**
 * Keeps durable tasks in the memory of this process, for tests. Tasks that have not run are lost when the process ends.
 *
 * Closing an engine is a crash for the tasks that run in its workers: they are given to other workers, their `signal`
 * aborts, and what they return is ignored.
 *
 * @example
 * const engine = memoryEngine();
 * const app = makeApp({ engine });
 * const worker = await createWorker({ engine: engine.connect() });
 */
export function memoryEngine(options: MemoryEngineOptions = {}): MemoryEngine {
  return new Connection(new MemoryStore(), options);
}

class Connection implements MemoryEngine {
  readonly name = 'memory';
  readonly features = Object.freeze({ transactions: false });
  readonly #store: MemoryStore;
  readonly #intercept: NonNullable<MemoryEngineOptions['intercept']>;
  readonly #workers = new Set<MemoryWorker>();
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(store: MemoryStore, { intercept }: MemoryEngineOptions) {
    this.#store = store;
    this.#intercept = intercept ?? ((_method, proceed) => proceed());
  }

  connect(options: MemoryEngineOptions = {}): MemoryEngine {
    return new Connection(this.#store, options);
  }

  start(host: EngineHost): Promise<void> {
    return this.#call('start', [host], () => {
      if (this.#state === 'closed') throw new Error('Expected the memory engine to be started before it was closed.');
      this.#state = 'open';
      if (process.env['NODE_ENV'] === 'production') {
        host.warn('The memory engine keeps tasks in this process only: they are lost when it ends. It is for tests.');
      }
    });
  }

  stage(tasks: readonly StagedTask[], options: StageOptions): Promise<void> {
    return this.#callOpen('stage', [tasks, options], () => this.#store.stage(tasks));
  }

  release(ids: readonly string[]): Promise<readonly ReleaseResult[]> {
    return this.#callOpen('release', [ids], () => ids.map((id) => this.#store.release(id)));
  }

  discard(ids: readonly string[]): Promise<readonly DiscardResult[]> {
    return this.#callOpen('discard', [ids], () => ids.map((id) => this.#store.discard(id)));
  }

  work(run: WorkFunction, options: EngineWorkOptions): Promise<EngineWorker> {
    return this.#callOpen('work', [run, options], () => {
      const worker = new MemoryWorker(run, options.concurrency);
      this.#workers.add(worker);
      this.#store.employ(worker);
      return { stop: () => this.#store.dismiss(worker) };
    });
  }

  find(id: string): Promise<DurableTask | undefined> {
    return this.#callOpen('find', [id], () => this.#store.find(id));
  }

  stats(): Promise<EngineStats> {
    return this.#callOpen('stats', [], () => this.#store.stats());
  }

  close(): Promise<void> {
    return this.#call('close', [], () => {
      this.#state = 'closed';
      for (const worker of this.#workers) this.#store.abandon(worker);
      this.#workers.clear();
    });
  }

  #callOpen<Result>(method: EngineMethod, args: readonly unknown[], call: () => Result): Promise<Result> {
    return this.#call(method, args, () => {
      if (this.#state === 'open') return call();
      const fault = this.#state === 'new' ? 'it was not started yet' : 'it was closed';
      throw new Error(`Expected the memory engine to be open for ${method}(), but ${fault}.`);
    });
  }

  async #call<Result>(method: EngineMethod, args: readonly unknown[], call: () => Result): Promise<Result> {
    const proceed = async (): Promise<Result> => {
      // Like every engine: no answer in the turn of the call.
      await nextTurn();
      return call();
    };
    return (await this.#intercept(method, proceed, args)) as Result;
  }
}
