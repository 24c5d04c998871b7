/** Where every task kills its worker, starting the next at once would keep a core busy with starts alone. */

/** So many workers may die one after the other, without a task between them that ended well, until the pool takes its time. */
const CRASHES_WITHOUT_DELAY = 3;
/** In milliseconds, doubled with each further crash. */
const FIRST_DELAY = 50;
const LONGEST_DELAY = 1_000;

export class RestartDelay {
  readonly #onOver: () => void;
  #crashes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  /** While it runs, no worker is to be started. */
  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  /** A task has ended in a worker that lived. */
  reset(): void {
    this.#crashes = 0;
  }

  crashed(): void {
    this.#crashes += 1;
    if (this.#crashes <= CRASHES_WITHOUT_DELAY) return;
    const delay = FIRST_DELAY * 2 ** (this.#crashes - CRASHES_WITHOUT_DELAY - 1);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#onOver();
      },
      Math.min(delay, LONGEST_DELAY),
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
