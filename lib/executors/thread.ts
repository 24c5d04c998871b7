/** One worker thread. The one room that knows Piscina. */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import { BackgroundTaskError, codeOf } from '../errors.ts';
import type { Movable } from '../move.ts';
import type { ResolvedPoolOptions } from '../options/workers.ts';
import { here, threadStart } from '../package-files.ts';
import { toError } from '../to-error.ts';
import { packBatch } from './batch-codec.ts';
import { encodeError } from './error-codec.ts';
import { inheritedExecArgv } from './exec-argv.ts';
import type { AttemptName, PoolWorker, WorkerObserver } from './pool-worker.ts';
import { Receipt } from './receipt.ts';
import { startAdvice } from './start-advice.ts';
import { ThreadBatch } from './thread-batch.ts';
import { HELLO, type HelloMessage, type Result, type TaskMessage, type ThreadOrder, type ThreadReply } from './wire.ts';

/** As much of Piscina as is used here; its own declaration file breaks those who compile against it. */
interface PiscinaPool {
  readonly threads: readonly Worker[];
  run(task: unknown, options: { name: string }): Promise<unknown>;
  destroy(): Promise<void>;
  on(event: 'message' | 'error', listener: (message: unknown) => void): void;
}
type PiscinaClass = new (options: Record<string, unknown>) => PiscinaPool;

/** The export that loads the other side: a Piscina starts its thread at its first task. */
const WARM_UP = 'warmUp';

/** Node's code for a thread that has reached its limits. */
const OUT_OF_MEMORY = 'ERR_WORKER_OUT_OF_MEMORY';

/**
 * A Piscina of a single thread. It starts the thread with its limits, environment and priority, and ends it. Everything
 * between threads (queue, order, limits, replacing dead ones, closing) is done here. Tasks go over a port of our own: they
 * can be told to stop, and cost the main thread half as much.
 */
export class Thread implements PoolWorker {
  readonly #pool: PiscinaPool;
  readonly #observer: WorkerObserver;
  readonly #maxResultSize: number;
  #port: MessagePort | undefined;
  /** Written by the thread; before it is ready, nothing is given to it. */
  #receipt = new Receipt();
  #batch: ThreadBatch | undefined;
  #crash: Error | undefined;
  #isEnding = false;

  /** @throws {BackgroundTaskError} `ERR_BACKGROUND_THREAD_START` where Node refuses the options. */
  constructor(options: ResolvedPoolOptions, observer: WorkerObserver) {
    this.#observer = observer;
    this.#maxResultSize = options.maxResultSize;
    const { Piscina } = createRequire(here)('piscina') as { Piscina: PiscinaClass };
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
    this.#pool.on('message', (message) => this.#greet(message));
    this.#start();
  }

  run(messages: readonly TaskMessage[], transferList: readonly Movable[]): void {
    const [first] = messages as [TaskMessage];
    this.#receipt.clear();
    if (messages.length === 1) this.#send(first, transferList);
    else this.#runBatch(messages);
    // While it runs a task, the thread keeps the process alive.
    this.#port?.ref();
  }

  recall(place: number): boolean {
    return this.#batch?.recall(place) ?? false;
  }

  report(): void {
    while (this.#hearNext());
    this.#reportBatch(false);
  }

  neverReceived(): boolean {
    // What a thread has no memory left for may well be what it was just given.
    return !this.#receipt.isGiven && codeOf(this.#crash) !== OUT_OF_MEMORY;
  }

  cancel({ id, attempt }: AttemptName, reason: Error): void {
    this.#send({ cancel: id, attempt, reason: encodeError(reason) });
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#port?.close();
    await this.#pool.destroy();
  }

  #start(): void {
    try {
      // The thread says over its port that it is ready. If this fails it never will, so it is ended.
      this.#pool.run(undefined, { name: WARM_UP }).catch((thrown: unknown) => {
        this.#crash ??= toError(thrown);
        void this.#pool.destroy();
      });
    } catch (thrown) {
      throw startError(toError(thrown));
    }
    const worker = this.#pool.threads[0];
    worker?.on('error', (error: unknown) => {
      this.#crash ??= toError(error);
    });
    worker?.once('exit', (code) => this.#exited(code));
  }

  #runBatch(batch: readonly TaskMessage[]): void {
    if (this.#batch === undefined) {
      this.#batch = new ThreadBatch();
      this.#send({ ledger: this.#batch.memory });
    }
    this.#batch.begin(batch.length);
    try {
      this.#send(packBatch(batch));
    } catch (thrown) {
      // The thread knows nothing of this batch: its ledger would say for ever that its tasks wait.
      this.#batch = undefined;
      throw thrown;
    }
  }

  #reportBatch(isOver: boolean): void {
    if (isOver) this.#port?.unref();
    if (this.#batch !== undefined) this.#observer.progressed(this.#batch.progress(isOver));
  }

  #send(order: ThreadOrder, transferList: readonly Movable[] = []): void {
    this.#port?.postMessage(order, transferList);
  }

  #greet(message: unknown): void {
    if (!isHello(message) || this.#port !== undefined) return;
    this.#port = message.port;
    this.#receipt = new Receipt(message.receipt);
    this.#port.on('message', (reply: ThreadReply) => this.#hear(reply));
    this.#port.on('messageerror', (error) => this.#lose(error.message));
    this.#send({ maxResultSize: this.#maxResultSize });
    this.#port.unref();
    this.#observer.ready();
  }

  #hear(reply: ThreadReply): void {
    switch (reply.kind) {
      case 'stray':
        this.#observer.stray(reply);
        break;
      case 'told':
        this.#batch?.tell(reply.place, reply.result);
        this.#reportBatch(false);
        break;
      case 'unreadable':
        this.#port?.unref();
        // Of a batch that it cannot read, the ledger would say for ever that its tasks wait.
        this.#batch = undefined;
        this.#observer.unreadable(reply.reason);
        break;
      case 'progress':
        this.#reportBatch(reply.isOver);
        break;
      default:
        this.#answered(reply, reply.ranMs);
    }
  }

  /** Whether a message was there. */
  #hearNext(): boolean {
    let received: { message: ThreadReply } | undefined;
    try {
      received = this.#port && receiveMessageOnPort(this.#port);
    } catch (thrown) {
      this.#lose(toError(thrown).message);
      return true;
    }
    if (received === undefined) return false;
    this.#hear(received.message);
    return true;
  }

  /** Only a result can be sent and not be readable here: a circle of causes, or a structure too deep for this stack. */
  #lose(reason: string): void {
    if (this.#batch?.lose({ kind: 'value-lost', reason }) === true) this.#reportBatch(false);
    else this.#hear({ kind: 'value-lost', reason, ranMs: undefined });
  }

  #answered(result: Result, ranMs: number | undefined): void {
    this.#port?.unref();
    this.#observer.progressed({ ended: [{ result, ranMs }], nextStartedAt: undefined, isFree: true });
  }

  #exited(code: number): void {
    // What it said before it died still counts.
    this.report();
    this.#port?.close();
    this.#observer.exited(this.#isEnding ? undefined : exitError(code, this.#crash));
  }
}

/** Without what is `undefined`, as Node does it for a process. For a thread Node would write the text 'undefined'. */
function definedOf(env: NonNullable<ResolvedPoolOptions['env']>): NodeJS.Dict<string> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}

/** A task module may post messages of its own to `parentPort`. */
function isHello(message: unknown): message is HelloMessage {
  return typeof message === 'object' && message !== null && HELLO in message;
}

function exitError(exitCode: number, crash: Error | undefined): BackgroundTaskError {
  if (codeOf(crash) === OUT_OF_MEMORY) {
    return new BackgroundTaskError('ERR_BACKGROUND_OUT_OF_MEMORY', `The thread ran out of memory: ${crash?.message}.`, {
      cause: crash,
    });
  }
  const because = crash === undefined ? '' : `: ${crash.message}`;
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_EXITED',
    `The thread exited with code ${exitCode}${because}.`,
    { cause: crash },
  );
  return Object.assign(error, { exitCode });
}

/** The error of every task that waits for threads which cannot start. */
export function startError(cause: Error): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_THREAD_START',
    `A worker thread could not start, ${startAdvice(threadStart, 'pool')}: ${cause.message}`,
    { cause },
  );
}
