/**
 * How long one turn of the event loop may be kept busy with what workers have done. Node hears up to a thousand messages
 * of a port before it looks at anything else: a worker that answers faster than its messages are read would keep
 * timers and requests waiting all that time, if it were given more with each answer.
 */

import { now, setImmediate } from '../time/real-time.ts';

/** In milliseconds. */
const MOST_A_TURN = 5;

export class TurnBudget {
  readonly #onNextTurn: () => void;
  #beganAt: number | undefined;

  /** `onNextTurn` is called when the loop has turned, each time after {@link isSpent} was asked. */
  constructor(onNextTurn: () => void) {
    this.#onNextTurn = onNextTurn;
  }

  /** The clock starts when it is asked for the first time in a turn. */
  isSpent(): boolean {
    const at = now();
    if (this.#beganAt === undefined) {
      this.#beganAt = at;
      setImmediate(() => {
        this.#beganAt = undefined;
        this.#onNextTurn();
      });
    }
    return at - this.#beganAt > MOST_A_TURN;
  }
}
