/** Engines of pgBoss() that end with the test, and hosts that hear what they tell. */
import type { TaskEngine } from 'express-background-tasks';
import { type PgBossOptions, pgBoss } from 'express-background-tasks/pg-boss';
import { atEnd } from '../../support/cleanup.ts';

/** Where nobody listens. */
export const UNREACHABLE = 'postgres://postgres@127.0.0.1:1/postgres';

export const host = (error: (error: Error) => void = () => {}, warn: (message: string) => void = () => {}) => ({
  warn,
  error,
});

export async function start(
  options: PgBossOptions,
  onError?: (error: Error) => void,
  onWarning?: (message: string) => void,
): Promise<TaskEngine> {
  const engine = pgBoss(options);
  atEnd(() => engine.close());
  await engine.start(host(onError, onWarning));
  return engine;
}
