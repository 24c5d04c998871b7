/** Whether another debugger has the main thread: two would interfere with each other's pauses. */
import { readFileSync } from 'node:fs';

/** Another debugger has paused the main thread. */
export class DebuggedError extends Error {}

/** Where Linux lists the connections of TCP, and its code for an open one. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const ESTABLISHED = '01';

/** Whether a client is connected to the inspector's port; `true` where the system does not tell. */
export function isDebuggerAttached(port: number): boolean {
  if (port === 0) return false;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  try {
    return TABLES.some((table) =>
      readFileSync(table, 'latin1')
        .split('\n')
        .some((line) => {
          const [, local, , state] = line.trim().split(/\s+/);
          return state === ESTABLISHED && local?.endsWith(suffix);
        }),
    );
  } catch {
    return true;
  }
}
