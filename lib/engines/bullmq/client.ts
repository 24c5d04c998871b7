/** The engine's own connections to Redis. */
import type { Writable } from 'node:stream';
import type { Callback, RedisOptions } from 'ioredis';
import { noAnswer } from '../../durable/timed-calls.ts';
import { nextTick } from '../../time/real-time.ts';
import { SECOND } from '../../time/timers.ts';
import { numbersIn, optionsOf, urlWithout } from './connection.ts';
import { guarded, guardedScripts, scriptName } from './guards.ts';
import { Redis } from './peers.ts';
import { reconnectWhenReadOnly } from './read-only.ts';

/** Between two attempts to connect. At every second attempt, calls that wait for a producer's connection are given up. */
const LONGEST_RETRY_DELAY = 1 * SECOND;
const CONNECT_TIMEOUT = 2 * SECOND;
/** How long Redis may take to hang up when a connection is ended, until it is cut. A process that ends waits for that. */
const DISCONNECT_TIMEOUT = 0.2 * SECOND;
/** How long Redis may take to answer before the connection is taken for cut, and another is made. */
const LONGEST_SILENCE = 5 * SECOND;

/**
 * Options that the engine sets itself, or that would break it. A limit for answers, for instance, would cut the calls in
 * which a worker waits for tasks; `scripts` would be defined before the client is complete; and with `stringNumbers`
 * BullMQ would get texts where it counts.
 */
const NOT_TAKEN_OVER = [
  'maxRetriesPerRequest',
  'retryStrategy',
  'enableOfflineQueue',
  'lazyConnect',
  'commandTimeout',
  'socketTimeout',
  'blockingTimeout',
  'blockingTimeoutGrace',
  'stringNumbers',
  'scripts',
  'monitor',
  'readOnly',
] as const satisfies readonly (keyof RedisOptions)[];

type Script = Parameters<InstanceType<typeof Redis>['defineCommand']>[1];

interface ClientInternals {
  manuallyClosing: boolean;
  reconnectTimeout: NodeJS.Timeout | null;
  flushQueue(error: Error): void;
  setStatus(status: string): void;
}

export class EngineClient extends Redis {
  /** BullMQ duplicates the client that it is given. */
  readonly copies: EngineClient[] = [];
  readonly #guarded = new Set<string>();
  #linkTimer: NodeJS.Timeout | undefined;
  /** Whether Redis was asked and has not answered yet. */
  #isAsked = false;
  /** Ended here, so that another connection is made. One that Redis has ended may never close: Node waits until all is sent. */
  #ended: Writable | null | undefined;

  /** None before the first connection and between two, which the type of ioredis does not say. */
  get #stream(): Writable | null | undefined {
    return this.stream;
  }

  /** Whether every script that needs a guard has been defined, with its guard. */
  get isGuarded(): boolean {
    return guardedScripts.every((name) => this.#guarded.has(name));
  }

  override defineCommand(name: string, script: Script): void {
    this.#guarded.add(scriptName(name));
    super.defineCommand(name, { ...script, lua: guarded(name, script.lua) });
  }

  /**
   * Asks Redis now and then whether it is there. The options of ioredis are no help: `commandTimeout` gives up commands
   * and keeps the connection, and the timer of `socketTimeout` outlives its connection and ends the next.
   */
  watchLink(): void {
    for (const news of ['connect', 'ready']) this.on(news, this.#answered);
    this.#linkTimer = setInterval(() => this.#checkLink(), LONGEST_SILENCE).unref();
  }

  #checkLink(): void {
    const { status } = this;
    if (status !== 'ready' && status !== 'connect') return;
    if (this.#isAsked) {
      // ioredis has no error of its own for what is ended here: nobody would be told why there is no connection.
      this.emit('error', silence());
      this.disconnect(true);
      return;
    }
    this.#isAsked = true;
    // Until it is ready, all but a few commands would wait for that: a Redis that loads its data answers this one.
    const answer = status === 'ready' ? this.ping() : this.info();
    answer.then(this.#answered, (error: Error) => {
      // Redis may refuse the command to this user: that is an answer as well.
      if (error.name === 'ReplyError') this.#answered();
    });
  }

  readonly #answered = (): void => {
    this.#isAsked = false;
  };

  /**
   * What is sent until the end of this turn of the event loop goes to Redis in one write. A write is a call of the system,
   * and takes longer than all else that is done here to send a command.
   */
  writeTogether(): void {
    const stream = this.#stream;
    stream?.cork();
    nextTick(() => stream?.uncork());
  }

  override disconnect(reconnect = false): void {
    // Called a second time, ioredis would wait two seconds for the end of a connection that has ended.
    if (this.status === 'end') return;
    if (reconnect) {
      const stream = this.#stream;
      // Every command that is refused asks for another connection, and ioredis would wait as often for the end of this one.
      if (stream && stream === this.#ended) return;
      this.#ended = stream;
    }
    if (reconnect || this.status !== 'reconnecting') {
      super.disconnect(reconnect);
      return;
    }
    // Between two attempts to connect, ioredis only cancels the next one: calls that wait for the connection, or for its
    // end, would wait for ever.
    const internals = this as unknown as ClientInternals;
    internals.manuallyClosing = true;
    clearTimeout(internals.reconnectTimeout ?? undefined);
    internals.reconnectTimeout = null;
    internals.flushQueue(new Error('Connection is closed.'));
    internals.setStatus('end');
  }

  override duplicate(override?: Partial<RedisOptions>): EngineClient {
    const copy = new EngineClient({ ...this.options, ...override });
    this.copies.push(copy);
    return copy;
  }

  // BullMQ asks for all sections, and would print a warning about the eviction policy. It needs the version only.
  override info(...args: (string | Buffer | Callback<string> | undefined)[]): Promise<string> {
    return args.length === 0 ? super.info('server') : super.info(...(args as string[]));
  }

  disconnectAll(): void {
    clearInterval(this.#linkTimer);
    for (const copy of this.copies) copy.disconnect();
    this.disconnect();
  }
}

/** With the code of a connection that failed so: BullMQ repeats the error, and treats it as one of those. */
function silence(): Error {
  return Object.assign(noAnswer(LONGEST_SILENCE), { code: 'ETIMEDOUT' });
}

function retryStrategy(times: number): number {
  return Math.min(100 * times, LONGEST_RETRY_DELAY);
}

function connect(connection: string | object, own: RedisOptions): EngineClient {
  const client = makeClient(connection, own);
  client.watchLink();
  return client;
}

function makeClient(connection: string | object, own: RedisOptions): EngineClient {
  const always: RedisOptions = { ...own, retryStrategy, enableOfflineQueue: true };
  // Only the options of the user's client are used: it may be busy, and may be closed at any time.
  const given: object = typeof connection === 'string' ? { url: connection } : optionsOf(connection);
  const { url, ...beside } = given as RedisOptions & { url?: string };
  const numbers = url === undefined ? {} : numbersIn(url);
  const rest: RedisOptions = { ...beside, ...numbers };
  for (const name of NOT_TAKEN_OVER) delete rest[name];
  // A client that was given none has `null` here.
  const reconnectOnError = rest.reconnectOnError ?? reconnectWhenReadOnly();
  const timeouts = { connectTimeout: CONNECT_TIMEOUT, disconnectTimeout: DISCONNECT_TIMEOUT };
  const options = { ...timeouts, ...rest, reconnectOnError, ...always };
  if (url === undefined) return new EngineClient(options);
  return new EngineClient(urlWithout([...NOT_TAKEN_OVER, ...Object.keys(numbers)], url), options);
}

/** For adding tasks: a request waits for the answer, so a call fails soon rather than late. */
export function producerClient(connection: string | object): EngineClient {
  return connect(connection, { maxRetriesPerRequest: 1, lazyConnect: true });
}

/** For a worker: the call that reports a task's result must not be given up, however long it waits for a connection. */
export function workerClient(connection: string | object): EngineClient {
  return connect(connection, { maxRetriesPerRequest: null, lazyConnect: false });
}
