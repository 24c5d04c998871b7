/** pg-boss asks for a newer Node than this package does. */

const OLDEST = [22, 12] as const;

/** Why it cannot be loaded here; `undefined` where it can. */
export const noPgBoss: string | undefined = isOld(process.versions.node)
  ? `pg-boss needs Node ${OLDEST.join('.')}, and this is ${process.versions.node}`
  : undefined;

function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}
