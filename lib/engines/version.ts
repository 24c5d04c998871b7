/** Versions of what an engine depends on. */

/** The first version that an engine was tried with, and works with. */
export type Oldest = readonly [major: number, minor: number];

/** @param version such as `6.7.0`. */
export function isAtLeast(version: string, [oldestMajor, oldestMinor]: Oldest): boolean {
  const { major, minor } = parse(version);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

export function majorOf(version: string): number {
  return parse(version).major;
}

function parse(version: string): { major: number; minor: number } {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return { major, minor };
}
