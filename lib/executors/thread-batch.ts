/** The batch that a thread has, as the main thread sees it. */
import { BatchLedger } from './batch-ledger.ts';
import type { Ended, Progress } from './pool-worker.ts';
import type { Result } from './wire.ts';

export class ThreadBatch {
  readonly #ledger = new BatchLedger();
  /** What came by a message and was not reported yet, by place. */
  readonly #told = new Map<number, Result>();
  #size = 0;
  /** The first place whose end was not reported yet. */
  #next = 0;

  get memory(): SharedArrayBuffer {
    return this.#ledger.memory;
  }

  begin(size: number): void {
    this.#ledger.clear(size);
    this.#told.clear();
    this.#size = size;
    this.#next = 0;
  }

  tell(place: number, result: Result): void {
    this.#told.set(place, result);
  }

  /**
   * A message has come that cannot be read: `result` stands for what it told. Messages keep their order, so it was that
   * of the first place that owes one. `false` if none does: it was not of this batch.
   */
  lose(result: Result): boolean {
    for (let place = this.#next; place < this.#size; place += 1) {
      const state = this.#ledger.stateOf(place);
      if ((state !== 'running' && state !== 'told') || this.#told.has(place)) continue;
      this.#told.set(place, result);
      return true;
    }
    return false;
  }

  recall(place: number): boolean {
    return this.#ledger.recall(place);
  }

  /** What has happened since it was asked last. `isFree`: whether the thread has said that it is done. */
  progress(isFree: boolean): Progress {
    const ended: Ended[] = [];
    for (; this.#next < this.#size; this.#next += 1) {
      const state = this.#ledger.stateOf(this.#next);
      if (state === 'running') return { ended, nextStartedAt: this.#ledger.startedAt(this.#next), isFree };
      if (state === 'waiting') break;
      if (state === 'recalled') continue;
      const result = this.#takeResult(this.#next, state === 'told');
      // Its message is still to be read, and will lead here again.
      if (result === undefined) break;
      const [startedAt, ranMs] = [this.#ledger.startedAt(this.#next), this.#ledger.ranMs(this.#next)];
      ended.push({ result, startedAt, ranMs });
    }
    return { ended, nextStartedAt: undefined, isFree };
  }

  #takeResult(place: number, isTold: boolean): Result | undefined {
    if (!isTold) return { kind: 'value', value: this.#ledger.valueOf(place) };
    const result = this.#told.get(place);
    // The next batch may be hours away.
    this.#told.delete(place);
    return result;
  }
}
