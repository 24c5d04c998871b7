/** One worker thread: what goes to it over its port, and what comes back. */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Movable } from '../move.ts';
import type { ResolvedPoolOptions } from '../options/thread-pool.ts';
import { setTimeout } from '../time/real-time.ts';
import { toError } from '../to-error.ts';
import { packBatch } from './batch-codec.ts';
import { encodeError } from './error-codec.ts';
import { PiscinaThread } from './piscina-thread.ts';
import { type AttemptName, LONGEST_LEAVING, type PoolWorker, type WorkerObserver } from './pool-worker.ts';
import { Receipt } from './receipt.ts';
import { ThreadBatch } from './thread-batch.ts';
import { HELLO, type HelloMessage, type Result, type TaskMessage, type ThreadOrder, type ThreadReply } from './wire.ts';
import { isOutOfMemory, threadExited } from './worker-errors.ts';

/** Tasks go over a port of our own, not by Piscina: they can be told to stop, and cost the main thread half as much. */
export class Thread implements PoolWorker {
  readonly #thread: PiscinaThread;
  readonly #observer: WorkerObserver;
  readonly #maxResultSize: number;
  #port: MessagePort | undefined;
  /** Written by the thread; before it is ready, nothing is given to it. */
  #receipt = new Receipt();
  #batch: ThreadBatch | undefined;
  #isEnding = false;
  #isGone = false;

  /** Throws where no thread can be started. */
  constructor(options: ResolvedPoolOptions, observer: WorkerObserver) {
    this.#observer = observer;
    this.#maxResultSize = options.maxResultSize;
    this.#thread = new PiscinaThread(options, {
      messaged: (message) => this.#greet(message),
      exited: (code) => this.#exited(code),
    });
  }

  get isLeaving(): boolean {
    return this.#isGone || this.#receipt.isLeaving;
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
    return !this.#receipt.isGiven && !isOutOfMemory(this.#thread.crash);
  }

  cancel({ id, attempt }: AttemptName, reason: Error): void {
    this.#send({ cancel: id, attempt, reason: encodeError(reason) });
  }

  holdUntilGone(): void {
    this.#thread.ref();
    setTimeout(() => void this.#thread.end(), LONGEST_LEAVING).unref();
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#port?.close();
    await this.#thread.end();
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
    this.#isGone = true;
    // What it said before it died still counts.
    this.report();
    this.#port?.close();
    this.#observer.exited(this.#isEnding ? undefined : threadExited(code, this.#thread.crash));
  }
}

/** A task module may post messages of its own to `parentPort`. */
function isHello(message: unknown): message is HelloMessage {
  return typeof message === 'object' && message !== null && HELLO in message;
}
