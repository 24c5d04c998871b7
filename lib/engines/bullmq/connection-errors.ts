/** Tells an error of a connection once, until that connection is there again; and all else once in a while. */

import type { EngineHost } from '../../durable/engine.ts';
import { RecentlyTold } from '../../durable/recently-told.ts';
import { messageOf } from '../../message-of.ts';
import { toError } from '../../to-error.ts';
import type { EngineClient } from './client.ts';

/** What ioredis says each time that none of the sentinels has told it of a master. It adds when it asks again. */
const NO_SENTINEL = 'All sentinels are unreachable';

export class ConnectionErrors {
  readonly #host: EngineHost;
  /** While the engine starts, every error belongs to the call of start(). */
  #isMuted = true;
  #isDown = false;
  #last: Error | undefined;
  readonly #told = new RecentlyTold();

  constructor(host: EngineHost) {
    this.#host = host;
  }

  /** The last error of a connection. A call that was given up for lack of one does not know it. */
  get last(): Error | undefined {
    return this.#last;
  }

  /** From here on errors belong to no call, and are told to the host. */
  unmute(): void {
    this.#isMuted = false;
  }

  /** From here on errors come from the engine's own closing, and are not reported. */
  mute(): void {
    this.#isMuted = true;
  }

  watch(client: EngineClient): void {
    client.on('error', (error) => this.#connectionFailed(withoutCommand(error)));
    client.on('ready', () => {
      this.#isDown = false;
    });
  }

  /** Tells an error that BullMQ has emitted. BullMQ repeats every error of a connection. */
  tell(thrown: unknown): void {
    const error = withoutCommand(toError(thrown));
    if (error === this.#last) return;
    if (isOfConnection(error)) this.#connectionFailed(error);
    else this.#tellNews(error);
  }

  /** Workers ask again and again for what Redis refuses, and for a lock that they have lost. */
  #tellNews(error: Error): void {
    // Redis adds by which script it was asked.
    const isNews = this.#told.isNews(error.message.replace(/ script: .*/s, ''));
    if (isNews && !this.#isMuted) this.#host.error(error);
  }

  #connectionFailed(error: Error): void {
    if (!isGivenUp(error)) this.#last = error;
    // Redis is there again and refuses, as with another password: that it was away has been told, and this has not.
    if (this.#isDown && error.name === 'ReplyError') this.#tellNews(error);
    if (this.#isDown) return;
    this.#isDown = true;
    if (!this.#isMuted) this.#host.error(error);
  }

  /** The error of a failed call. If the call was given up for lack of a connection: an error that says why there is none. */
  reasonFor(thrown: unknown): Error {
    const error = withoutCommand(toError(thrown));
    if (!isGivenUp(error) || this.#last === undefined) return error;
    return new Error(`Redis can't be reached: ${messageOf(this.#last)}`, { cause: this.#last });
  }
}

/** ioredis notes on its errors the command that was refused, with all that was sent: the password, the arguments of tasks. */
function withoutCommand(error: Error & { readonly previousErrors?: readonly Error[] }): Error {
  // Those of the commands in a transaction.
  for (const one of [error, ...(error.previousErrors ?? [])]) Reflect.deleteProperty(one, 'command');
  return error;
}

function isGivenUp(error: Error): boolean {
  return error.name === 'MaxRetriesPerRequestError' || error.message === 'Connection is closed.';
}

function isOfConnection(error: Error): boolean {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (isGivenUp(error) || syscall !== undefined || message.startsWith(NO_SENTINEL)) return true;
  return typeof code === 'string' && /^E[A-Z]+$/.test(code);
}
