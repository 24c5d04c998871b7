/** Ways to Postgres: a URL, a pool, an adapter or a transaction, each as pg-boss takes it. */
import { describeKind } from '../../describe.ts';
import { optionError } from '../../errors.ts';
import type { PgBossConnection } from './options.ts';

export interface Listening {
  close(): Promise<void>;
}

/** What pg-boss calls a database: its own pool, and what its adapters make. */
export interface Database {
  // biome-ignore lint/suspicious/noExplicitAny: a row is what its statement makes of it.
  executeSql(text: string, values?: unknown[]): Promise<{ rows: any[] }>;
  /** `false`: after `onReconnect` nobody listens, until `listen` is called again. */
  readonly listensAgain?: boolean;
  /** Only where one connection can be kept. `onReconnect` is called when it was lost, or made anew. */
  listen?(channel: string, onNotification: () => void, onReconnect: () => void): Promise<Listening>;
}

interface PooledClient extends NodeJS.EventEmitter {
  query(text: string): Promise<unknown>;
  release(error?: Error | boolean): void;
}

interface Pool {
  query: Database['executeSql'];
  connect(): Promise<PooledClient>;
  on?(event: 'error', listener: (error: Error) => void): unknown;
  off?(event: 'error', listener: (error: Error) => void): unknown;
  readonly options?: { readonly max?: number };
}

/** A listening client is kept for good. Of a smaller pool, too few would be left for the rest. */
const LEAST_FOR_LISTENING = 3;

type Given =
  | { readonly kind: 'options'; readonly config: Record<string, unknown> }
  | { readonly kind: 'pool'; readonly pool: Pool }
  | { readonly kind: 'executor'; readonly db: Database };

export function whatWasGiven(connection: PgBossConnection): Given {
  if (typeof connection === 'string') return { kind: 'options', config: { connectionString: connection } };
  const { executeSql, query, connect } = connection as Record<string, unknown>;
  if (typeof executeSql === 'function') return { kind: 'executor', db: connection as Database };
  if (typeof query === 'function' && typeof connect === 'function') {
    return { kind: 'pool', pool: connection as unknown as Pool };
  }
  return { kind: 'options', config: { ...(connection as object) } };
}

/** A user's pool, as a database of pg-boss. */
export function poolDatabase(pool: Pool): Database {
  const executeSql: Database['executeSql'] = (text, values) => pool.query(text, values);
  const { max = Number.POSITIVE_INFINITY } = pool.options ?? {};
  if (max < LEAST_FOR_LISTENING) return { executeSql };
  return {
    executeSql,
    listensAgain: false,
    listen: async (channel, onNotification, onLost) => listenOn(await pool.connect(), channel, onNotification, onLost),
  };
}

async function listenOn(
  client: PooledClient,
  channel: string,
  onNotification: () => void,
  onLost: () => void,
): Promise<Listening> {
  let isReleased = false;
  const release = (error?: Error): void => {
    isReleased = true;
    client.removeListener('notification', onNotification);
    // With an argument the pool drops the client, which may still be listening, and makes another.
    client.release(error ?? true);
  };
  const lost = (error?: Error): void => {
    if (isReleased) return;
    release(error);
    onLost();
  };
  // This listener is never removed: without one, a lost connection would end the process.
  client.on('error', lost);
  client.on('end', () => lost());
  client.on('notification', onNotification);
  const close = async (): Promise<void> => {
    if (!isReleased) release();
  };
  try {
    await client.query(`LISTEN "${channel}"`);
  } catch (error) {
    if (!isReleased) release(error as Error);
    throw error;
  }
  return { close };
}

/**
 * Hears the errors of a user's pool: without a listener, a lost connection of an idle client would end the process.
 *
 * @returns what takes the listener off.
 */
export function watchPool(pool: Pool, onError: (error: Error) => void): () => void {
  pool.on?.('error', onError);
  return () => pool.off?.('error', onError);
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an object that runs no statements, or each in a transaction of its own. */
export function transactionDatabase(transaction: unknown): Database {
  const { executeSql, query } = (transaction ?? {}) as Partial<Record<string, unknown>>;
  if (typeof executeSql === 'function') return transaction as Database;
  if (typeof query === 'function' && !isPool(transaction as object)) {
    return { executeSql: (text, values) => (transaction as Pool).query(text, values) };
  }
  throw optionError(
    `Expected \`transaction\` to be a client of pg, or an object with executeSql(), got ${describeKind(transaction)}.`,
  );
}

/** Whether the last statement of a client was in no transaction. Newer clients of pg know that; of others it is not known. */
export function wasOutside(transaction: unknown): boolean {
  const client = transaction as { getTransactionStatus?: unknown };
  return typeof client.getTransactionStatus === 'function' && client.getTransactionStatus() === 'I';
}

/** Whether it is a `Pool` of pg, which gives each statement to whichever client is free. A proxy of one may only answer what is read. */
function isPool(value: object): boolean {
  return (value as { readonly totalCount?: unknown }).totalCount !== undefined;
}
