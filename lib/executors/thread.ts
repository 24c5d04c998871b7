/** One worker thread. The one room that knows Piscina. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';
import { BackgroundTaskError } from '../errors.ts';
import { here, threadEntry } from '../here.ts';
import { toError } from '../outcome.ts';
import type { ResolvedPoolOptions } from '../resolve-options.ts';
import { encodeError } from './error-codec.ts';
import { inheritedExecArgv } from './exec-argv.ts';
import {
  type Answer,
  type CancelMessage,
  HELLO,
  type HelloMessage,
  type TaskMessage,
  type ThreadMessage,
} from './wire.ts';
import type { AttemptName, PoolWorker, WorkerObserver } from './worker-pool.ts';

/** As much of Piscina as is used here; its own declaration file breaks those who compile against it. */
interface PiscinaPool {
  readonly threads: readonly Worker[];
  run(task: unknown, options?: { transferList?: readonly Transferable[]; name?: string }): Promise<unknown>;
  destroy(): Promise<void>;
  on(event: 'message' | 'error', listener: (message: unknown) => void): void;
}
type PiscinaClass = new (options: Record<string, unknown>) => PiscinaPool;

/** The export of the worker entry that does nothing: a Piscina starts its thread at its first task. */
const WARM_UP = 'warmUp';

/**
 * A Piscina of a single thread. Piscina starts a thread, sets its limits and priority, and runs one task at a time in
 * it, all of which it does well. What it does between threads (queue, order, limits, replacing the dead, closing) is
 * not asked of it: a thread that dies is not replaced here, but by the pool, with a new one of these.
 */
export class Thread implements PoolWorker {
  readonly #pool: PiscinaPool;
  readonly #observer: WorkerObserver<Thread>;
  /** A value that came over the control port, or the wish to be told when it comes: ports keep no common order. */
  #delivery: { readonly value: unknown } | 'expected' | undefined;
  #control: MessagePort | undefined;
  #crash: Error | undefined;
  #isEnding = false;

  /** @throws {BackgroundTaskError} `ERR_BACKGROUND_THREAD_START` where Node refuses the options. */
  constructor(options: ResolvedPoolOptions, observer: WorkerObserver<Thread>) {
    this.#observer = observer;
    const { Piscina } = createRequire(here)('piscina') as { Piscina: PiscinaClass };
    this.#pool = new Piscina({
      filename: fileURLToPath(threadEntry),
      // No thread before the warm-up, none in place of one that died, and none ended for being idle.
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Otherwise the thread's own event loop stands still between tasks.
      atomics: 'disabled',
      recordTiming: false,
      niceIncrement: options.niceIncrement,
      ...(options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }),
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.argv === undefined ? {} : { argv: [...options.argv] }),
      ...(options.execArgv === undefined ? {} : { execArgv: [...inheritedExecArgv(), ...options.execArgv] }),
    });
    // Without a listener, a thread that throws at its start would end the server.
    this.#pool.on('error', () => {});
    this.#pool.on('message', (message) => this.#hear(message));
    this.#start();
  }

  #start(): void {
    try {
      this.#pool.run(undefined, { name: WARM_UP }).then(
        () => this.#observer.ready(this),
        () => {}, // The thread died before it was ready: its exit says so.
      );
    } catch (thrown) {
      throw startError(toError(thrown));
    }
    const worker = this.#pool.threads[0];
    worker?.on('error', (error: unknown) => {
      this.#crash ??= toError(error);
    });
    worker?.once('exit', (code) => this.#exited(code));
  }

  run(message: TaskMessage, transferList: readonly Transferable[]): void {
    this.#pool.run(message, { transferList }).then(
      (answer) => this.#answered(answer as Answer),
      (thrown: unknown) => {
        // A message that could not be sent leaves the thread as it was; all other rejections end in its exit.
        if (isDataCloneError(thrown)) this.#observer.answered(this, toError(thrown));
      },
    );
  }

  cancel({ id, attempt }: AttemptName, reason: Error): void {
    this.#control?.postMessage({ cancel: id, attempt, reason: encodeError(reason) } satisfies CancelMessage);
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#control?.close();
    await this.#pool.destroy();
  }

  #hear(message: unknown): void {
    if (!isHello(message)) return;
    const { control } = message;
    this.#control = control;
    control.on('message', (said: ThreadMessage) => {
      if (said.kind === 'stray') this.#observer.stray(said);
      else this.#deliver(said.value);
    });
    // A thread with nothing to do keeps no process alive; while it runs a task, Piscina's own port does.
    control.unref();
  }

  #answered(answer: Answer): void {
    if (answer.kind !== 'value-on-control-port') {
      this.#observer.answered(this, answer);
    } else if (typeof this.#delivery === 'object') {
      const { value } = this.#delivery;
      this.#delivery = undefined;
      this.#observer.answered(this, { kind: 'value', value });
    } else {
      this.#delivery = 'expected';
      this.#control?.ref();
    }
  }

  #deliver(value: unknown): void {
    if (this.#delivery !== 'expected') {
      this.#delivery = { value };
      return;
    }
    this.#delivery = undefined;
    this.#control?.unref();
    this.#observer.answered(this, { kind: 'value', value });
  }

  #exited(code: number): void {
    this.#control?.close();
    this.#observer.exited(this, this.#isEnding ? undefined : exitError(code, this.#crash));
  }
}

/** A task module may post messages of its own to whom it takes for its parent. */
function isHello(message: unknown): message is HelloMessage {
  return typeof message === 'object' && message !== null && HELLO in message;
}

function isDataCloneError(thrown: unknown): boolean {
  return toError(thrown).name === 'DataCloneError';
}

function exitError(exitCode: number, crash: Error | undefined): BackgroundTaskError {
  if ((crash as { code?: unknown } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new BackgroundTaskError('ERR_BACKGROUND_OUT_OF_MEMORY', `The thread ran out of memory: ${crash?.message}.`, {
      cause: crash,
    });
  }
  const because = crash === undefined ? '' : `: ${crash.message}`;
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_EXITED',
    `The thread exited with code ${exitCode}${because}.`,
    {
      cause: crash,
    },
  );
  return Object.assign(error, { exitCode });
}

/** What every task of a pool meets whose threads cannot start. */
export function startError(cause: Error): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_START',
    `A worker thread could not start, look at the options of \`pool\`: ${cause.message}`,
    {
      cause,
    },
  );
}
