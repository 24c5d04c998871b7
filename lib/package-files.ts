/** Where this copy of the package lies. The CommonJS build has its own version of this file: scripts/build.mjs writes it. */
import { pathToFileURL } from 'node:url';

// biome-ignore lint/suspicious/noTsIgnore: an error is expected in one of the two builds only.
// @ts-ignore: the compiler's CommonJS run refuses import.meta, and what it emits for this file is replaced.
const url: string | undefined = import.meta.url;

/** A bundler that has made CommonJS of this leaves `import.meta` empty. */
const here: string = url ?? pathToFileURL(__filename).href;

/** Threads and processes run the ES modules in both builds: only there is `import()` of a user's module a real one. */
export const threadStart: URL = new URL('../esm/executors/worker/thread-start.cjs', here);
export const watchThread: URL = new URL('../esm/watchdog/thread/watch-thread.js', here);
export const moduleExports: URL = new URL('../esm/durable/module-exports.js', here);
export const processEntry: URL = new URL('../esm/executors/worker/process-entry.js', here);

/** A `file:` URL that `createRequire` can start from, for what is loaded only when it is needed. */
export { here };
