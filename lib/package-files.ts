/** Where this copy of the package lies: scripts/build.mjs puts this file's code into one that lies beside the entries. */
import nodeModule from 'node:module';
import { pathToFileURL } from 'node:url';

const url: string | undefined = import.meta.url;

/** What makes CommonJS of this, the build or a user's bundler, leaves `import.meta` empty. */
export const here: string = url ?? pathToFileURL(__filename).href;

/** Threads and processes run the ES modules in both builds: only there is `import()` of a user's module a real one. */
export const threadStart: URL = new URL('../esm/executors/worker/thread-start.cjs', here);
export const watchThread: URL = new URL('../esm/watchdog/thread/watch-thread.js', here);
export const moduleExports: URL = new URL('../esm/durable/module-exports.js', here);
export const processEntry: URL = new URL('../esm/executors/worker/process-entry.js', here);

/** Loads what is not needed at once. Where createRequire() is imported by name, webpack puts `undefined` in the place of its call. */
export const requireHere: NodeJS.Require = nodeModule.createRequire(here);
