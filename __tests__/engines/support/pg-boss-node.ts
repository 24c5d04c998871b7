/** What pg-boss needs to be tried: a newer Node than this package asks for, and Postgres. */
import { postgresIsInstalled } from './postgres-server.ts';

const OLDEST = [22, 12] as const;

/** Why it cannot be loaded here; `undefined` where it can. */
export const noPgBoss: string | undefined = isOld(process.versions.node)
  ? `pg-boss needs Node ${OLDEST.join('.')}, and this is ${process.versions.node}`
  : undefined;

function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/** Everything that is missing for a test on a real server here; empty if nothing is. */
export const missing: string = [
  ...(noPgBoss === undefined ? [] : [noPgBoss]),
  ...(postgresIsInstalled ? [] : ['Postgres is not installed here']),
].join(', and ');
