/** Built modules of the package that are not public: for lists that are compared with the code. */
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../dist/cjs/index.js', import.meta.url));

export function requireBuilt<Room>(room: string): Room {
  return require(`./${room}.js`) as Room;
}
