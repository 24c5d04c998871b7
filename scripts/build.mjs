// Builds the package twice from the same sources: as ES modules and as CommonJS, each with types of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const path = (relative) => fileURLToPath(new URL(relative, root));
const tsc = path('node_modules/typescript/bin/tsc');

// The old build stays complete until the new one can replace it.
const fresh = path(`dist.${process.pid}`);
const old = path(`dist.${process.pid}.old`);

async function compile(...options) {
  const compiler = spawn(process.execPath, [tsc, '-p', 'lib', ...options], { cwd: path('.'), stdio: 'inherit' });
  const [code] = await once(compiler, 'close');
  return code;
}

try {
  const codes = await Promise.all([
    compile('--outDir', `${fresh}/esm`),
    compile('--outDir', `${fresh}/cjs`, '--module', 'commonjs', '--moduleResolution', 'bundler'),
  ]);
  if (codes.some((code) => code !== 0)) throw new Error('The sources do not compile.');
  writeFileSync(`${fresh}/cjs/package.json`, '{ "type": "commonjs" }\n');

  // The command is a program of its own: one format is enough.
  rmSync(`${fresh}/cjs/cli`, { recursive: true });

  // The one file that differs: CommonJS has no import.meta.
  writeFileSync(
    `${fresh}/cjs/package-files.js`,
    `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const { pathToFileURL } = require("node:url");
exports.here = pathToFileURL(__filename).href;
exports.threadStart = new URL("../esm/executors/worker/thread-start.cjs", exports.here);
exports.watchThread = new URL("../esm/watchdog/thread/watch-thread.js", exports.here);
exports.moduleExports = new URL("../esm/durable/module-exports.js", exports.here);
exports.processEntry = new URL("../esm/executors/worker/process-entry.js", exports.here);
`,
  );

  if (existsSync(path('dist'))) renameSync(path('dist'), old);
  renameSync(fresh, path('dist'));
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(old, { recursive: true, force: true });
}
