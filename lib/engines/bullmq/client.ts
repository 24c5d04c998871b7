/** The engine's own connections. */
import type { Callback, RedisOptions } from 'ioredis';
import { SECOND } from '../../timers.ts';
import { guarded, guardedScripts, scriptName } from './guards.ts';
import { isClient } from './options.ts';
import { Redis } from './peers.ts';

/** Between two attempts to connect; what waits for a producer's connection is given up at every second of them. */
const LONGEST_RETRY_DELAY = 1 * SECOND;
const CONNECT_TIMEOUT = 2 * SECOND;
/** A link that is cut says nothing: so long an answer may take before another connection is tried. */
const LONGEST_SILENCE = 5 * SECOND;

type Script = Parameters<InstanceType<typeof Redis>['defineCommand']>[1];

interface ClientInternals {
  manuallyClosing: boolean;
  reconnectTimeout: NodeJS.Timeout | null;
  flushQueue(error: Error): void;
  setStatus(status: string): void;
}

export class EngineClient extends Redis {
  /** What BullMQ makes for itself of a client that it was given. */
  readonly copies: EngineClient[] = [];
  readonly #guarded = new Set<string>();
  #linkTimer: NodeJS.Timeout | undefined;
  #askedAt: number | undefined;

  /** Whether every script that needs a guard has got it. */
  get isGuarded(): boolean {
    return guardedScripts.every((name) => this.#guarded.has(name));
  }

  override defineCommand(name: string, script: Script): void {
    this.#guarded.add(scriptName(name));
    super.defineCommand(name, { ...script, lua: guarded(name, script.lua) });
  }

  /**
   * Asks now and then whether somebody is there. The options of ioredis for that are none: one gives up commands and
   * keeps the connection, and the timer of the other outlives its connection and ends the next.
   */
  watchLink(): void {
    this.on('ready', () => {
      this.#askedAt = undefined;
    });
    this.#linkTimer = setInterval(() => {
      if (this.status !== 'ready') return;
      if (this.#askedAt !== undefined) {
        this.disconnect(true);
        return;
      }
      this.#askedAt = performance.now();
      const answered = (): void => {
        this.#askedAt = undefined;
      };
      this.ping().then(answered, (error: Error) => {
        // Whoever refuses to answer, as where a user may not ask, is there.
        if (error.name === 'ReplyError') answered();
      });
    }, LONGEST_SILENCE).unref();
  }

  override disconnect(reconnect = false): void {
    // A second time, ioredis would wait for two seconds for the end of what has ended.
    if (this.status === 'end') return;
    if (reconnect || this.status !== 'reconnecting') {
      super.disconnect(reconnect);
      return;
    }
    // Between two attempts to connect, ioredis only forgets the next one: what waits for the connection, or for its
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

  // BullMQ asks for everything, to tell the console of the eviction policy; what it needs is the version.
  override info(...args: (string | Buffer | Callback<string> | undefined)[]): Promise<string> {
    return args.length === 0 ? super.info('server') : super.info(...(args as string[]));
  }

  disconnectAll(): void {
    clearInterval(this.#linkTimer);
    for (const copy of this.copies) copy.disconnect();
    this.disconnect();
  }
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
  if (typeof connection === 'string') {
    return new EngineClient(connection, { connectTimeout: CONNECT_TIMEOUT, ...always });
  }
  // A client of the user's may have any settings, be in use, and be closed at any time: its address is taken, no more.
  const given = isClient(connection) ? connection.options : connection;
  const { url, ...rest } = given as RedisOptions & { url?: string };
  const options = { connectTimeout: CONNECT_TIMEOUT, ...rest, ...always };
  return url === undefined ? new EngineClient(options) : new EngineClient(url, options);
}

/** For whoever adds tasks: a request waits for the answer, so a call fails soon rather than late. */
export function producerClient(connection: string | object): EngineClient {
  return connect(connection, { maxRetriesPerRequest: 1, lazyConnect: true });
}

/** For a worker: it has the time, and a call that reports what came of a task must not be given up. */
export function workerClient(connection: string | object): EngineClient {
  return connect(connection, { maxRetriesPerRequest: null, lazyConnect: false });
}
