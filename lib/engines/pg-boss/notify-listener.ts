/**
 * Listens for the NOTIFY that is sent when a task becomes ready. A notification may come for nothing, or get lost: workers
 * poll as well.
 */
import { SECOND } from '../../time/timers.ts';
import type { Database, Listening } from './database.ts';
import type { RepeatedErrors } from './repeated-errors.ts';

const RETRY_AFTER = 1 * SECOND;

export class NotifyListener {
  readonly #database: Database;
  readonly #channel: string;
  readonly #errors: RepeatedErrors;
  readonly #listeners = new Set<() => void>();
  #listening: Promise<Listening | undefined> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(database: Database, channel: string, errors: RepeatedErrors) {
    this.#database = database;
    this.#channel = channel;
    this.#errors = errors;
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
    const notify = (): void => {
      for (const listener of this.#listeners) listener();
    };
    // What came while nobody listened is lost: whenever a connection is lost or made, workers look for themselves.
    const onReconnect = (): void => {
      notify();
      if (this.#database.listensAgain === false) this.#listenLater();
    };
    this.#listening = this.#database.listen(this.#channel, notify, onReconnect).then(
      (listening) => {
        notify();
        return listening;
      },
      (error) => {
        this.#errors.tell(error);
        this.#listenLater();
        return undefined;
      },
    );
  }

  #listenLater(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listen(), RETRY_AFTER).unref();
  }
}
