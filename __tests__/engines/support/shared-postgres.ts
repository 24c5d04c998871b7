/** Tests of pg-boss on a Postgres that those of a file share. */
import { beforeAll, describe, it } from '@jest/globals';
import type { TaskEngine } from 'express-background-tasks';
import type { PgBossOptions } from 'express-background-tasks/pg-boss';
import { Client } from 'pg';
import { atEnd } from '../../support/cleanup.ts';
import { start } from './pg-boss-engines.ts';
import { missing } from './pg-boss-node.ts';
import { type PostgresServer, startPostgres } from './postgres-server.ts';

/** Of a test on a real server. */
export const TIMEOUT = 60_000;

/** A `describe` whose tests are skipped, and say why, where they cannot be run. */
export function describeWithPostgres(name: string, define: () => void): void {
  if (missing === '') describe(name, define);
  else it.skip(`${name} (not tried: ${missing})`, () => {});
}

export interface SharedPostgres {
  readonly server: Pick<PostgresServer, 'url' | 'port'>;
  /** Options for a store that holds nothing yet. */
  fresh(options?: Partial<PgBossOptions>): PgBossOptions;
  /** An engine on such a store. */
  started(options?: Partial<PgBossOptions>): Promise<TaskEngine>;
  connected(): Promise<Client>;
}

/** To be called once, at the top of a test file; what it returns is for use inside tests. */
export function sharePostgres(): SharedPostgres {
  let running: PostgresServer;
  let stores = 0;
  if (missing === '') {
    beforeAll(async () => {
      running = await startPostgres({ until: 'file' });
    }, TIMEOUT);
  }
  const server = {
    get url() {
      return running.url;
    },
    get port() {
      return running.port;
    },
  };

  function fresh(options: Partial<PgBossOptions> = {}): PgBossOptions {
    stores += 1;
    return { connection: server.url, queue: `queue-${stores}`, ...options };
  }

  return {
    server,
    fresh,
    started: (options) => start(fresh(options)),
    async connected() {
      const client = new Client({ connectionString: server.url });
      // One that is killed on purpose says so.
      client.on('error', () => {});
      await client.connect();
      atEnd(() => client.end().catch(() => {}));
      return client;
    },
  };
}
