/** What leads to Postgres, whatever it was given as. */

import { describe } from '../../describe.ts';
import { BackgroundTaskError } from '../../errors.ts';
import type { PgBossConnection } from './options.ts';

export interface Listening {
  close(): Promise<void>;
}

/** As pg-boss has it: its own, and its adapters'. */
export interface Database {
  // biome-ignore lint/suspicious/noExplicitAny: a row is what its statement makes of it.
  executeSql(text: string, values?: unknown[]): Promise<{ rows: any[] }>;
  /** `false`: `onReconnect` says that the connection is lost, and that's that. */
  readonly listensAgain?: boolean;
  /** Where a connection can be kept: tells of notifications, and of connections made anew. */
  listen?(channel: string, onNotification: () => void, onReconnect: () => void): Promise<Listening>;
}

interface PooledClient extends NodeJS.EventEmitter {
  query(text: string): Promise<unknown>;
  release(error?: Error | boolean): void;
}

export interface Pool {
  query: Database['executeSql'];
  connect(): Promise<PooledClient>;
  on?(event: 'error', listener: (error: Error) => void): unknown;
  off?(event: 'error', listener: (error: Error) => void): unknown;
  readonly options?: { readonly max?: number };
}

/** With fewer clients a pool would have none left for others, or none but one. */
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

/** A user's pool in pg-boss's terms. */
export function poolDatabase(pool: Pool): Database {
  const executeSql: Database['executeSql'] = (text, values) => pool.query(text, values);
  const { max = Number.POSITIVE_INFINITY } = pool.options ?? {};
  if (max < LEAST_FOR_LISTENING) return { executeSql };
  return {
    executeSql,
    listensAgain: false,
    async listen(channel, onNotification, onReconnect) {
      const client = await pool.connect();
      let isClosed = false;
      const release = (error?: Error): void => {
        if (isClosed) return;
        isClosed = true;
        client.removeListener('notification', onNotification);
        // Nothing is known of a client that was listened on: the pool makes another.
        client.release(error ?? true);
      };
      // It stays: a client without a listener ends the process when its connection is lost.
      client.on('error', (error: Error) => {
        if (isClosed) return;
        release(error);
        onReconnect();
      });
      client.on('end', () => {
        if (isClosed) return;
        release();
        onReconnect();
      });
      client.on('notification', onNotification);
      try {
        await client.query(`LISTEN "${channel}"`);
      } catch (error) {
        release(error as Error);
        throw error;
      }
      return { close: async () => release() };
    },
  };
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for what runs no statements. */
export function transactionDatabase(transaction: unknown): Database {
  const { executeSql, query } = (transaction ?? {}) as Partial<Record<string, unknown>>;
  if (typeof executeSql === 'function') return transaction as Database;
  if (typeof query === 'function') {
    return { executeSql: (text, values) => (transaction as Pool).query(text, values) };
  }
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_OPTION',
    `Expected \`transaction\` to be a client of pg, or an object with executeSql(), got ${describe(transaction)}.`,
  );
}
