// Builds the package: compiles each source once, and packs the modules into few files, as ES modules and as CommonJS. A
// program that loads its hundred modules one by one takes twice as long for it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rollup } from 'rollup';

const root = fileURLToPath(new URL('../', import.meta.url));

const PUBLIC_ENTRIES = ['index', 'testing', 'testing-engine', 'bullmq', 'pg-boss'];
const COMMAND = 'cli/main';
/** What threads and processes load, as ES modules from both builds. */
const IN_THREADS = [
  'durable/module-exports',
  'executors/worker/process-entry',
  'executors/worker/thread-entry',
  'watchdog/thread/watch-thread',
];
/** This one has to stay CommonJS. */
const THREAD_START = 'executors/worker/thread-start.cjs';

// The old build stays complete until the new one can replace it.
const fresh = join(root, `dist.${process.pid}`);
const old = join(root, `dist.${process.pid}.old`);
const compiled = join(fresh, 'compiled');

async function compile() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const compiler = spawn(process.execPath, [tsc, '-p', 'lib', '--outDir', compiled], { cwd: root, stdio: 'inherit' });
  const [code] = await once(compiler, 'close');
  if (code !== 0) throw new Error('The sources do not compile.');
}

/** A thread loads what it shares with the main thread, and not all that is loaded there. */
function chunkOf(id, { getModuleInfo }) {
  const isBehind = (entries) =>
    entries.some((entry) => modulesBehind(join(compiled, `${entry}.js`), getModuleInfo).has(id));
  if (!isBehind(['index'])) return undefined;
  return isBehind(IN_THREADS) ? 'shared' : 'background-tasks';
}

function modulesBehind(entry, getModuleInfo) {
  const found = new Set([entry]);
  for (const id of found) for (const imported of getModuleInfo(id)?.importedIds ?? []) found.add(imported);
  return found;
}

/** Puts the modules into fewer files; their code stays as it was compiled. */
async function pack(entries, output) {
  const bundle = await rollup({
    input: Object.fromEntries(entries.map((entry) => [entry, join(compiled, `${entry}.js`)])),
    external: (id) => !id.startsWith('.') && !id.startsWith(root),
    treeshake: false,
    // The compiler's helpers look for `this`; whatever else there is to be warned of is a mistake.
    onwarn(warning) {
      if (warning.code !== 'THIS_IS_UNDEFINED') throw new Error(warning.message);
    },
  });
  await bundle.write({
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    generatedCode: { preset: 'es2015', symbols: false },
    esModule: true,
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    manualChunks: chunkOf,
    ...output,
  });
  await bundle.close();
}

/** The declarations of these entries, and those that they import. */
function declarationsOf(entries) {
  const found = new Set(entries.map((entry) => `${entry}.d.ts`));
  for (const path of found) {
    const text = readFileSync(join(compiled, path), 'utf8');
    for (const [, relative] of text.matchAll(/(?:from |import\()['"](\.[^'"]+)\.ts['"]/g))
      found.add(join(dirname(path), `${relative}.d.ts`));
  }
  return found;
}

function copy(paths, directory) {
  for (const path of paths) {
    const target = join(directory, path);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(compiled, path), target);
  }
}

try {
  await compile();
  const esm = join(fresh, 'esm');
  const cjs = join(fresh, 'cjs');
  await pack([...PUBLIC_ENTRIES, COMMAND, ...IN_THREADS], { dir: esm, format: 'esm' });
  await pack(PUBLIC_ENTRIES, {
    dir: cjs,
    format: 'cjs',
    interop: 'default',
    // Test runners that run CommonJS know no other way to load a module of the user's.
    dynamicImportInCjs: false,
    plugins: [{ name: 'without-import-meta', resolveImportMeta: () => 'undefined' }],
  });
  const declarations = declarationsOf(PUBLIC_ENTRIES);
  copy([...declarations, THREAD_START], esm);
  copy(declarations, cjs);
  writeFileSync(join(cjs, 'package.json'), '{ "type": "commonjs" }\n');
  rmSync(compiled, { recursive: true });

  if (existsSync(join(root, 'dist'))) renameSync(join(root, 'dist'), old);
  renameSync(fresh, join(root, 'dist'));
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(old, { recursive: true, force: true });
}
