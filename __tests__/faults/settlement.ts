/** How a task ended, as one line of text that can be compared and printed, for all libraries. */
import { inspect, types } from 'node:util';

/** What every error has, where our own point into the documents, and paths of this machine. */
const SAID_OTHERWISE = new Set(['name', 'message', 'stack', 'cause', 'code', 'help', 'url']);

export function describeValue(value: unknown): string {
  if (isError(value)) return describeThrown(value);
  return inspect(value, { depth: 2, breakLength: Number.POSITIVE_INFINITY });
}

/** Its name, its code and its own properties, but not its message: that holds paths, and differs between versions of Node. */
export function describeThrown(thrown: unknown): string {
  if (!isError(thrown)) return `no Error but ${describeOther(thrown)}`;
  const { code } = thrown as { code?: unknown };
  const name = code === undefined ? thrown.name : `${thrown.name} ${String(code)}`;
  return [name, ...propertiesOf(thrown)].join(', ');
}

function describeOther(thrown: unknown): string {
  const names = typeof thrown === 'object' && thrown !== null ? Object.keys(thrown) : [];
  return names.length === 0 ? describeValue(thrown) : `an object with ${names.join(', ')}`;
}

/** Also for errors of another realm, as in jest, and of a class without `class` syntax. */
function isError(thrown: unknown): thrown is Error {
  return types.isNativeError(thrown) || thrown instanceof Error;
}

function propertiesOf(error: Error): string[] {
  return Object.entries(error)
    .filter(([key, value]) => !SAID_OTHERWISE.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => (typeof value === 'object' ? key : `${key} ${String(value)}`));
}

/** Equal ends are grouped, in the order of the first of each group. */
export function tally(settlements: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const settlement of settlements) counts.set(settlement, (counts.get(settlement) ?? 0) + 1);
  return [...counts].map(([settlement, count]) => `${count} × ${settlement}`).join('; ');
}
