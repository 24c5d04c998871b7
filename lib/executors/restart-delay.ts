/** Where every task kills its worker, starting the next at once would keep a core busy with starts alone. */
import { Backoff } from '../time/backoff.ts';
import { clearTimeout, setTimeout } from '../time/real-time.ts';
import { SECOND } from '../time/timers.ts';

/** How many workers may die in a row, with no task between them that ended well, before the pool waits with the next. */
const CRASHES_WITHOUT_DELAY = 3;
/** In milliseconds: doubled with each further crash. */
const FIRST_DELAY = 50;
const LONGEST_DELAY = 1 * SECOND;

export class RestartDelay {
  readonly #onOver: () => void;
  readonly #backoff = new Backoff(FIRST_DELAY, LONGEST_DELAY);
  #crashes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  /** Whether another may still be started at once, despite the latest crash. */
  get isPatient(): boolean {
    return this.#crashes <= CRASHES_WITHOUT_DELAY;
  }

  /** While it runs, no worker is to be started. */
  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  /** A task has ended in a worker that lived. */
  reset(): void {
    this.#crashes = 0;
    this.#backoff.reset();
  }

  crashed(): void {
    this.#crashes += 1;
    if (this.isPatient) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#onOver();
    }, this.#backoff.next());
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
