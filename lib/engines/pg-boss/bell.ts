/** Rings when a task may run at once. It may ring for nothing, and may fail to ring: workers look for themselves as well. */
import { SECOND } from '../../timers.ts';
import type { Database, Listening } from './database.ts';
import type { Troubles } from './troubles.ts';

const RETRY_AFTER = 1 * SECOND;

export class Bell {
  readonly #database: Database;
  readonly #channel: string;
  readonly #troubles: Troubles;
  readonly #listeners = new Set<() => void>();
  #listening: Promise<Listening | undefined> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(database: Database, channel: string, troubles: Troubles) {
    this.#database = database;
    this.#channel = channel;
    this.#troubles = troubles;
  }

  on(listener: () => void): void {
    this.#listeners.add(listener);
    if (this.#listening === undefined) this.#listen();
  }

  off(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await (await this.#listening)?.close();
  }

  #listen(): void {
    if (this.#isClosed || this.#database.listen === undefined) return;
    const ring = (): void => {
      for (const listener of this.#listeners) listener();
    };
    const isLost = (): void => {
      ring();
      if (this.#database.listensAgain === false) this.#later();
    };
    this.#listening = this.#database.listen(this.#channel, ring, isLost).then(
      (listening) => {
        ring();
        return listening;
      },
      (error) => {
        this.#troubles.tell(error);
        this.#later();
        return undefined;
      },
    );
  }

  #later(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listen(), RETRY_AFTER).unref();
  }
}
