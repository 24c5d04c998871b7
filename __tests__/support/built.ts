/** Rooms of the package that are not public, as they were built: for lists that are held against the code. */
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../dist/cjs/index.js', import.meta.url));

export function requireBuilt<Room>(room: string): Room {
  return require(`./${room}.js`) as Room;
}
