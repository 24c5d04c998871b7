/** The entry `express-background-tasks/pg-boss`: durable tasks in Postgres, kept by pg-boss. */
export type { PgBossConnection, PgBossOptions } from './engines/pg-boss/options.ts';
export { pgBoss } from './engines/pg-boss.ts';
