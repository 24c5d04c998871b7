/** The watchdog's thread, as the watched one holds it. */
import { Worker } from 'node:worker_threads';
import { watchThread } from '../package-files.ts';
import { toError } from '../to-error.ts';
import type { MessageFromThread, MessageToThread, ThreadData } from './messages.ts';
import { SamplingTurn } from './sampling-turn.ts';

interface ThreadObserver {
  messaged(message: MessageFromThread): void;
  /** The thread could not be started, or has died. */
  lost(reason: string): void;
}

export class ThreadHandle {
  #worker: Worker | undefined;

  constructor(workerData: ThreadData, observer: ThreadObserver) {
    try {
      // Without the options of the process: the thread needs no loader, and must not wait for `--inspect-brk`.
      this.#worker = new Worker(watchThread, { workerData, execArgv: [], env: {}, name: 'watchdog' });
    } catch (thrown) {
      observer.lost(toError(thrown).message);
      return;
    }
    const turn = new SamplingTurn(workerData.memory.turn, this.#worker.threadId);
    this.#worker.once('exit', () => turn.pass());
    this.#worker.on('message', (message) => observer.messaged(message));
    this.#worker.on('error', (error) => {
      this.#worker = undefined;
      observer.lost(error.message);
    });
    this.#worker.unref();
  }

  get isAlive(): boolean {
    return this.#worker !== undefined;
  }

  send(message: MessageToThread): void {
    this.#worker?.postMessage(message);
  }

  terminate(): void {
    void this.#worker?.terminate();
  }
}
