/** Runs the tasks of a batch, one after the other, and keeps the ledger. */

import type { Movable } from '../../move.ts';
import { unpackBatch } from '../batch-codec.ts';
import type { BatchLedger } from '../batch-ledger.ts';
import type { BatchMessage, ProgressMessage, Result, TaskMessage, ToldMessage } from '../wire.ts';
import type { TaskRunner } from './task-runner.ts';

/** How often the main thread is told of a batch while it runs, in milliseconds. It is also told at the end. */
const TELL_EVERY = 1;

export class BatchRunner {
  readonly #runner: TaskRunner;
  readonly #ledger: BatchLedger;
  readonly #send: (message: ToldMessage | ProgressMessage, transferList?: readonly Movable[]) => void;

  constructor(
    runner: TaskRunner,
    ledger: BatchLedger,
    send: (message: ToldMessage | ProgressMessage, transferList?: readonly Movable[]) => void,
  ) {
    this.#runner = runner;
    this.#ledger = ledger;
    this.#send = send;
  }

  async run(batch: BatchMessage): Promise<void> {
    let toldAt = performance.now();
    for (const [place, message] of unpackBatch(batch).entries()) {
      if (!this.#ledger.claim(place)) continue;
      await this.#runOne(place, message);
      const now = performance.now();
      if (now - toldAt < TELL_EVERY) continue;
      toldAt = now;
      this.#send({ kind: 'progress', isOver: false });
    }
    this.#send({ kind: 'progress', isOver: true });
  }

  #runOne(place: number, message: TaskMessage): Promise<void> {
    return new Promise((resolve) => {
      this.#runner.run(message, (result, _ranMs, transferList) => {
        this.#end(place, result, transferList);
        resolve();
      });
    });
  }

  #end(place: number, result: Result, transferList: readonly Movable[] = []): void {
    const isMoved = transferList.length > 0;
    if (result.kind === 'value' && !isMoved && this.#ledger.end(place, result.value)) return;
    this.#send({ kind: 'told', place, result }, transferList);
    this.#ledger.endByMessage(place);
  }
}
