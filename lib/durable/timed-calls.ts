/** Calls to an engine that must be answered in time. */
import { Deadlines, type Limited } from '../time/deadlines.ts';

class PendingCall implements Limited {
  deadline = 0;
  deadlineRow: Limited['deadlineRow'];
  previous: Limited | undefined;
  next: Limited | undefined;
  readonly timeOut: () => void;

  constructor(timeOut: () => void) {
    this.timeOut = timeOut;
  }
}

export class TimedCalls {
  readonly #limits = new Deadlines();
  #isOver = false;

  /** Makes a call. Rejects if there is no answer within `limit` milliseconds, or before {@link end}; after that at once. */
  within<Result>(limit: number, call: () => Promise<Result>): Promise<Result> {
    if (this.#isOver) return Promise.reject(wasClosed());
    return new Promise((resolve, reject) => {
      const answer = call();
      const pending = new PendingCall(() => {
        reject(this.#isOver ? wasClosed() : noAnswer(limit));
      });
      this.#limits.set(pending, limit, performance.now());
      answer.then(
        (result) => {
          this.#limits.clear(pending);
          resolve(result);
        },
        (reason: unknown) => {
          this.#limits.clear(pending);
          reject(reason);
        },
      );
    });
  }

  /** Pending calls reject: they have had all the time there was. */
  end(): void {
    this.#isOver = true;
    this.#limits.passAll();
  }
}

function wasClosed(): Error {
  return new Error('it was closed');
}

export function noAnswer(limit: number): Error {
  return new Error(`no answer within ${Math.round(limit)} ms`);
}
