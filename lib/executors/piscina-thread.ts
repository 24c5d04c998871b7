/**
 * Starts a thread with its limits, environment and priority, and ends it. The one room that knows Piscina: one that has a
 * single thread. Everything between threads (queue, order, limits, replacing dead ones, closing) is done elsewhere.
 */
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { deferred } from '../deferred.ts';
import type { ResolvedPoolOptions } from '../options/thread-pool.ts';
import { requireHere, threadStart } from '../package-files.ts';
import { toError } from '../to-error.ts';
import { inheritedExecArgv } from './exec-argv.ts';

/** As much of Piscina as is used here; its own declaration file breaks those who compile against it. */
interface PiscinaPool {
  readonly threads: readonly Worker[];
  run(task: unknown, options: { name: string }): Promise<unknown>;
  destroy(): Promise<void>;
  on(event: 'message' | 'error', listener: (message: unknown) => void): void;
}
type PiscinaClass = new (options: Record<string, unknown>) => PiscinaPool;

/**
 * To be called before file descriptors can run out. If they have when Node 20 looks for a package for the first time, it
 * remembers to the end of the process that there is none.
 */
export function findPiscina(): void {
  try {
    requireHere.resolve('piscina');
  } catch {
    // The first thread that is to start says so.
  }
}

/** The export that loads the other side: a Piscina starts its thread at its first task. */
const WARM_UP = 'warmUp';

interface ThreadObserver {
  /** The thread has posted to `parentPort`. */
  messaged(message: unknown): void;
  exited(code: number): void;
}

export class PiscinaThread {
  readonly #pool: PiscinaPool;
  readonly #gone = deferred();
  #crash: Error | undefined;

  /** Throws where Node refuses the options, or Piscina cannot be loaded. */
  constructor(options: ResolvedPoolOptions, observer: ThreadObserver) {
    const { Piscina } = requireHere('piscina') as { Piscina: PiscinaClass };
    this.#pool = new Piscina({
      filename: fileURLToPath(threadStart),
      // Piscina would look for a default export, and for want of one make code of text, which Node can be told to forbid.
      name: WARM_UP,
      // No thread before the warm-up, none in place of one that died, and none ended for being idle.
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Otherwise the thread's own event loop would stand still, waiting for tasks that come another way.
      atomics: 'disabled',
      recordTiming: false,
      niceIncrement: options.niceIncrement,
      ...(options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }),
      ...(options.env === undefined ? {} : { env: definedOf(options.env) }),
      ...(options.argv === undefined ? {} : { argv: [...options.argv] }),
      ...(options.execArgv === undefined ? {} : { execArgv: [...inheritedExecArgv(), ...options.execArgv] }),
    });
    // Without a listener, a thread that throws at its start would end the server.
    this.#pool.on('error', () => {});
    this.#pool.on('message', (message) => observer.messaged(message));
    this.#start(observer);
  }

  /** What it died of, or could not start for. */
  get crash(): Error | undefined {
    return this.#crash;
  }

  /** As long as there is such a thread, it keeps the process alive. */
  ref(): void {
    this.#pool.threads[0]?.ref();
  }

  /** Resolves when it is gone. */
  end(): Promise<void> {
    // A Piscina that was destroyed before, or whose thread threw, knows of no thread that it would have to wait for.
    void this.#pool.destroy();
    return this.#gone.promise;
  }

  #start(observer: ThreadObserver): void {
    // The thread says over its port that it is ready. If this fails it never will, so it is ended.
    this.#pool.run(undefined, { name: WARM_UP }).catch((thrown: unknown) => {
      this.#crash ??= toError(thrown);
      void this.#pool.destroy();
    });
    const worker = this.#pool.threads[0];
    worker?.on('error', (error: unknown) => {
      this.#crash ??= toError(error);
    });
    worker?.once('exit', (code) => {
      observer.exited(code);
      this.#gone.resolve();
    });
  }
}

/** Without what is `undefined`, as Node does it for a process. For a thread Node would write the text 'undefined'. */
function definedOf(env: NonNullable<ResolvedPoolOptions['env']>): NodeJS.Dict<string> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}
