import { readFileSync } from 'node:fs';
import { basename, join, posix, sep } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { importGraphOf } from './support/import-graph.ts';
import { relativeLinksOf } from './support/markdown.ts';
import {
  commandOf,
  type Ended,
  filesBelow,
  installProject,
  makeProject,
  type Packed,
  type ProjectFiles,
  pack,
  run,
  runNode,
} from './support/projects.ts';

const TIMEOUT = 60_000;

let packed: Packed;

beforeAll(async () => {
  packed = await pack();
}, TIMEOUT);

const packageJson = (type: 'module' | 'commonjs'): object => ({ name: 'project', private: true, type });

/** What every application below does when its tasks are imported: one request and three tasks. */
const application = (types: { readonly handles: string }): string => `
const app = express();
const handles${types.handles} = [];
app.use(background);
app.get('/', (_req, res) => {
  const { backgroundTasks } = res.locals;
  handles.push(backgroundTasks.add(greet, 'Ada'), backgroundTasks.add(tasks.square, 7), backgroundTasks.add(tasks.fail));
  res.send('Hello');
});
const server = app.listen(0, '127.0.0.1', async () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const response = await fetch(\`http://127.0.0.1:\${address.port}/\`);
  const body = await response.text();
  const outcomes = await Promise.all(handles.map((handle) => handle.settled));
  console.log(JSON.stringify({ body, outcomes: outcomes.map(({ name, executor, state, value }) => ({ name, executor, state, value })) }));
  // Nothing ends the threads: an idle package keeps no process alive.
  server.close();
});
`;

const greet = `
async function greet(name) {
  return \`Hello, \${name}, from \${currentTask()?.name}\`;
}
`;
const typedGreet = greet.replace('greet(name)', 'greet(name: string): Promise<string>');

const taskFunctions = (number: string, never: string): string => `
function square(value${number})${number} {
  if (currentTask()?.name !== 'square') throw new Error('currentTask() is not this task');
  return value * value;
}
function fail()${never} {
  throw new Error('as it should');
}
`;

function expectThatItWorked({ code, stdout, stderr }: Ended): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/error: Task fail failed: as it should/) });
  // One line for the failure, by winston, and no warning by Node.
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(stdout)).toEqual({
    body: 'Hello',
    outcomes: [
      { name: 'greet', executor: 'event-loop', state: 'completed', value: 'Hello, Ada, from greet' },
      { name: 'square', executor: 'thread', state: 'completed', value: 49 },
      { name: 'fail', executor: 'thread', state: 'failed' },
    ],
  });
}

describe('the tarball', () => {
  it('holds what was built, the documents, and nothing else', () => {
    const others = packed.paths.filter((path) => !/^(dist|docs)\//.test(path));
    expect(others.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'package.json']);
    expect(packed.paths).toEqual(
      expect.arrayContaining(['dist/esm/index.js', 'dist/cjs/index.js', 'dist/esm/executors/worker/thread-start.cjs']),
    );
    const strange = packed.paths.filter(
      (path) => path.startsWith('dist/') && !/\.(js|d\.ts|cjs|d\.cts)$|^dist\/cjs\/package\.json$/.test(path),
    );
    expect(strange).toEqual([]);
    expect(packed.paths.filter((path) => path.startsWith('docs/') && !path.endsWith('.md'))).toEqual([]);
  });

  it('holds every file that its documents link to, except for drawings', () => {
    const documents = packed.paths.filter((path) => path.endsWith('.md'));
    const linked = documents.flatMap((document) =>
      relativeLinksOf(readFileSync(join(packed.directory, document), 'utf8'))
        .filter((link) => !link.startsWith('#'))
        .map((link) => posix.join(posix.dirname(document), link.replace(/#.*/, ''))),
    );
    const missing = linked.filter((path) => !packed.paths.includes(path) && !path.endsWith('.svg'));
    expect(missing).toEqual([]);
  });

  it('has a package.json in which npm finds nothing to correct when it is published', async () => {
    const written = readFileSync(join(packed.directory, 'package.json'), 'utf8');
    const project = makeProject(packed, { 'package.json': JSON.parse(written) }, []);
    await run('npm', ['pkg', 'fix'], project);
    expect(JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))).toEqual(JSON.parse(written));
  });

  it('is loaded as a few files, and loads neither pool nor logger before they are needed', async () => {
    const project = makeProject(packed, { 'package.json': packageJson('commonjs') }, []);
    const program = "require('express-background-tasks'); console.log(JSON.stringify(Object.keys(require.cache)))";
    const { stdout } = await runNode(['-e', program], project);
    const loaded = JSON.parse(stdout) as string[];
    const own = loaded.filter((file) => file.includes(`${sep}express-background-tasks${sep}`));
    expect(own.map((file) => basename(file)).sort()).toEqual(['background-tasks.js', 'index.js', 'shared.js']);
    expect(loaded.filter((file) => /piscina|winston|express[/\\]/.test(file))).toEqual([]);
  });

  it('loads no HTTP client and no WebCrypto when it is imported as an ES module', async () => {
    const project = makeProject(packed, { 'package.json': packageJson('module') }, []);
    const program = "import 'express-background-tasks'; console.log(JSON.stringify(process.moduleLoadList))";
    const { stdout } = await runNode(['--input-type=module', '-e', program], project);
    expect((JSON.parse(stdout) as string[]).filter((name) => /undici|webcrypto/.test(name))).toEqual([]);
  });

  it('has types that need no other package', () => {
    const entries = ['index', 'testing', 'testing-engine', 'bullmq', 'pg-boss'].map((name) => `${name}.d.ts`);
    for (const build of ['dist/esm', 'dist/cjs']) {
      const directory = join(packed.directory, build);
      const needed = declarationsBehind(directory, entries).flatMap((path) =>
        packagesIn(readFileSync(join(directory, path), 'utf8')),
      );
      expect([...new Set(needed)].filter((name) => !name.startsWith('node:'))).toEqual([]);
      expect(needed).toContain('node:http');
    }
  });

  it(
    'is found clean by publint and attw',
    async () => {
      const lints = await Promise.all([
        runNode([commandOf('publint'), '--strict', packed.file], packed.directory),
        runNode([commandOf('@arethetypeswrong/cli', 'attw'), packed.file], packed.directory),
      ]);
      expect(lints.map(({ code, stdout, stderr }) => (code === 0 ? 'clean' : stdout + stderr))).toEqual([
        'clean',
        'clean',
      ]);
    },
    TIMEOUT,
  );
});

/** All files that the compiler reads for these. */
function declarationsBehind(directory: string, entries: readonly string[]): readonly string[] {
  const graph = importGraphOf(directory);
  const found = new Set<string>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    found.add(path);
    for (const imported of graph.get(path) ?? []) visit(imported.replace(/(?<!\.d)\.[jt]s$/, '.d.ts'));
  };
  for (const entry of entries) visit(entry);
  return [...found];
}

/** The packages and built-in modules that a declaration file names. */
function packagesIn(declarations: string): string[] {
  const code = declarations.replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const specifiers = code.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*|\brequire\(|<reference types=)['"]([^'"]+)['"]/g);
  return [...specifiers].map(([, specifier]) => specifier as string).filter((specifier) => !specifier.startsWith('.'));
}

/** The two module systems, and what the same application looks like in each. */
interface ModuleSystem {
  readonly name: string;
  readonly type: 'module' | 'commonjs';
  readonly compiledAs: 'nodenext' | 'node16';
  readonly importExpress: { readonly js: string; readonly ts: string };
  /** Imports names in JavaScript; in TypeScript all are imported as in an ES module. */
  importNames(names: string, from: string): string;
  readonly exportTasks: string;
  /** The task module: as its type is imported, and as it is given to `blocking`. */
  readonly typeOfTasks: string;
  readonly locationOfTasks: string;
}

const moduleSystems: readonly ModuleSystem[] = [
  {
    name: 'ES modules',
    type: 'module',
    compiledAs: 'nodenext',
    importExpress: { js: "import express from 'express'", ts: "import express from 'express'" },
    importNames: (names, from) => `import { ${names} } from '${from}'`,
    exportTasks: 'export { square, fail }',
    typeOfTasks: './tasks.js',
    locationOfTasks: "new URL('./tasks.js', import.meta.url)",
  },
  {
    name: 'CommonJS modules',
    type: 'commonjs',
    compiledAs: 'node16',
    importExpress: { js: "const express = require('express')", ts: "import express = require('express')" },
    importNames: (names, from) => `const { ${names} } = require('${from}')`,
    exportTasks: 'module.exports = { square, fail }',
    typeOfTasks: './tasks',
    locationOfTasks: "require.resolve('./tasks')",
  },
];

describe.each(moduleSystems)('an application of $name', (system) => {
  const files: ProjectFiles = {
    'package.json': packageJson(system.type),
    'app.js': `
      ${system.importExpress.js};
      ${system.importNames('backgroundTasks, blocking, currentTask', 'express-background-tasks')};
      ${system.importNames('watchTasks', 'express-background-tasks/testing')};
      const tasks = blocking(${system.locationOfTasks});
      const background = backgroundTasks({ watchdog: false });
      watchTasks(background).restore();
      ${greet} ${application({ handles: '' })}`,
    'tasks.js': `
      ${system.importNames('currentTask', 'express-background-tasks')};
      ${taskFunctions('', '')}
      ${system.exportTasks};`,
  };

  it(
    'runs, and exits by itself',
    async () => {
      expectThatItWorked(await runNode(['app.js'], await installProject(packed, files, [])));
    },
    TIMEOUT,
  );
});

describe('an application that has a package of an engine for itself, in a version that the engine does not take', () => {
  const others = { bullmq: '5.76.0', ioredis: '4.30.0', 'pg-boss': '10.3.2' };

  it(
    'can install the package: only the engine refuses that version, when it starts',
    async () => {
      const dependencies = Object.fromEntries(Object.keys(others).map((name) => [name, `file:${name}`]));
      const files: Record<string, string | object> = {
        'package.json': { ...packageJson('module'), dependencies },
        'app.js':
          "import('express-background-tasks').then(({ backgroundTasks }) => console.log(typeof backgroundTasks))",
      };
      for (const [name, version] of Object.entries(others)) files[`${name}/package.json`] = { name, version };
      const project = await installProject(packed, files, []);
      expect((await runNode(['app.js'], project)).stdout).toBe('function\n');
    },
    TIMEOUT,
  );
});

describe('the entry of an engine whose package is not installed', () => {
  it.each([
    ['bullmq', 'bullmq ioredis'],
    ['pg-boss', 'pg-boss'],
  ])(
    '%s says what to install, however it is imported',
    async (name, install) => {
      const specifier = `express-background-tasks/${name}`;
      const project = makeProject(
        packed,
        {
          'package.json': packageJson('module'),
          'imported.mjs': `import('${specifier}').catch(({ code, message }) => console.log(code, message));`,
          'required.cjs': `try { require('${specifier}') } catch ({ code, message }) { console.log(code, message) }`,
        },
        [],
      );
      const said = `ERR_BACKGROUND_PEER Expected the package ${name} to be installed, since ${specifier} was imported: npm install ${install}.\n`;
      for (const file of ['imported.mjs', 'required.cjs']) {
        expect(await runNode([file], project)).toEqual({ code: 0, stdout: said, stderr: '' });
      }
    },
    TIMEOUT,
  );
});

(process.platform === 'win32' ? describe.skip : describe)('the command', () => {
  const COMMAND = 'node_modules/.bin/express-background-tasks';
  const files: ProjectFiles = {
    'package.json': packageJson('module'),
    'registry.js': `
      import { durable } from 'express-background-tasks';
      durable('mail', new URL('./mail.js', import.meta.url), { parse: { sendInvoice: (args) => args } });`,
    'mail.js': 'export function sendInvoices() {}',
    'engine.js': `
      import { memoryEngine } from 'express-background-tasks/testing/engine';
      export default memoryEngine();`,
  };

  it(
    'is there once the package is installed, and says which version it is',
    async () => {
      const { version } = JSON.parse(readFileSync(join(packed.directory, 'package.json'), 'utf8'));
      const project = makeProject(packed, files, []);
      expect(await run(COMMAND, ['--version'], project)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    },
    TIMEOUT,
  );

  it(
    'fails at the start where the registry names an export that is not there',
    async () => {
      const project = makeProject(packed, files, []);
      const { code, stderr } = await run(COMMAND, ['work', 'registry.js', '--engine', 'engine.js'], project);
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringContaining('to export a function sendInvoice. Its functions are: sendInvoices.'),
      });
    },
    TIMEOUT,
  );
});

/** Compiled by `tsc`, which checks every declaration file that it reaches. */
const tsconfig = (module: ModuleSystem['compiledAs']): object => ({
  compilerOptions: {
    module,
    target: 'es2022',
    strict: true,
    skipLibCheck: false,
    esModuleInterop: true,
    types: ['node'],
    rootDir: 'src',
    outDir: 'out',
  },
  include: ['src'],
});

const typedPackages = [
  ...['node', 'express', 'express-serve-static-core', 'serve-static', 'body-parser', 'connect', 'qs'],
  ...['range-parser', 'send', 'http-errors'],
].map((name) => `@types/${name}`);

async function compileAndRun(files: ProjectFiles): Promise<Ended> {
  const project = await installProject(packed, files, typedPackages);
  const compiled = await runNode([commandOf('typescript', 'tsc'), '-p', '.'], project);
  expect({ code: compiled.code, stdout: compiled.stdout }).toEqual({ code: 0, stdout: '' });
  expect(filesBelow(join(project, 'out'))).toEqual(['app.js', 'tasks.js']);
  return runNode(['out/app.js'], project);
}

const mistakes = `
  // @ts-expect-error: a number is no text.
  () => background.add(greet, 1);
  // @ts-expect-error: a text is no number.
  () => background.add(tasks.square, '7');
`;

describe.each(moduleSystems)('an application of $name in TypeScript', (system) => {
  const files: ProjectFiles = {
    'package.json': packageJson(system.type),
    'tsconfig.json': tsconfig(system.compiledAs),
    'src/app.ts': `
      ${system.importExpress.ts};
      import { backgroundTasks, blocking, currentTask, type TaskHandle } from 'express-background-tasks';
      import { watchTasks, type TaskWatcher } from 'express-background-tasks/testing';
      const tasks = blocking<typeof import('${system.typeOfTasks}')>(${system.locationOfTasks});
      const background = backgroundTasks({ watchdog: false });
      const watcher: TaskWatcher = watchTasks(background);
      watcher.restore();
      ${typedGreet} ${mistakes} ${application({ handles: ': TaskHandle[]' })}`,
    'src/tasks.ts': `
      import { currentTask } from 'express-background-tasks';
      ${taskFunctions(': number', ': never')}
      export { square, fail };`,
  };

  it(
    'compiles without skipLibCheck, runs, and exits by itself',
    async () => {
      expectThatItWorked(await compileAndRun(files));
    },
    TIMEOUT,
  );
});

describe('a library in TypeScript that exports what it makes with the package', () => {
  const files: ProjectFiles = {
    'package.json': packageJson('module'),
    'tsconfig.json': {
      compilerOptions: {
        ...{ module: 'nodenext', target: 'es2022', types: ['node'], strict: true },
        ...{ declaration: true, emitDeclarationOnly: true, outDir: 'out' },
      },
      include: ['library.ts'],
    },
    'tasks.ts': 'export async function square(value: number): Promise<number> { return value * value; }',
    'library.ts': `
      import * as entry from 'express-background-tasks';
      import * as testing from 'express-background-tasks/testing';
      import * as engines from 'express-background-tasks/testing/engine';
      import { bullmq } from 'express-background-tasks/bullmq';
      import { pgBoss } from 'express-background-tasks/pg-boss';
      const url = new URL('./tasks.js', import.meta.url);

      export const tasks = entry.blocking<typeof import('./tasks.js')>(url);
      export const kept = entry.durable<typeof import('./tasks.js')>('kept', url);
      export const untyped = entry.blocking(url);
      export const { square } = tasks;
      export const defined = entry.defineTask(async (text: string) => text.length, { name: 'defined' });
      export const background = entry.backgroundTasks();
      export const handle = background.with({ when: 'success' }).add(square, 7);
      export const { settled } = handle;
      export const [found, stats, report] = [background.find('1'), background.stats(), background.close()];
      export const durable = entry.backgroundTasks({ engine: engines.memoryEngine() });
      export const foundThere = durable.find('1');
      export const engineStats = durable.engineStats();
      export const worker = entry.createWorker({ engine: engines.memoryEngine() });
      export const current = () => entry.currentTask<{ requestId: string }>();
      export const watcher = testing.watchTasks(background);
      export const matchers = { ...testing.taskMatchers };
      export const { toHaveAdded } = testing.taskMatchers;
      export const engine = engines.memoryEngine();
      export const cases = engines.engineConformance(async () => ({ engine, second: async () => engine, dispose: async () => {} }));
      export const onRedis = bullmq({ connection: 'redis://127.0.0.1' });
      export const onPostgres = pgBoss({ connection: 'postgres://127.0.0.1' });`,
  };

  it(
    'has declaration files: every type has a name that the package exports',
    async () => {
      const project = makeProject(packed, files, typedPackages);
      const { code, stdout } = await runNode([commandOf('typescript', 'tsc'), '-p', '.'], project);
      expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
      const declarations = readFileSync(join(project, 'out', 'library.d.ts'), 'utf8');
      expect(declarations).not.toContain('express-background-tasks/dist');
    },
    TIMEOUT,
  );
});

describe('two copies of the package in one process', () => {
  /** An ES module whose parts were written for CommonJS. */
  const files: ProjectFiles = {
    'package.json': packageJson('module'),
    'legacy.cjs': `
      const copy = require('express-background-tasks');
      const testing = require('express-background-tasks/testing');
      const { addBackgroundTask, BackgroundTaskError, currentTask, defineTask, move } = copy;
      const whoAmI = () => currentTask()?.name;
      const refuse = () => {
        try {
          copy.backgroundTasks({ ordr: 'parallel' });
        } catch (error) {
          return error;
        }
      };
      const throwOurs = () => {
        throw refuse();
      };
      const defined = defineTask(whoAmI, { name: 'defined', timeout: 5_000 });
      const moveBack = () => move(new Uint8Array(8).fill(1));
      module.exports = { ...copy, watchTasks: testing.watchTasks, whoAmI, refuse, throwOurs, defined, moveBack };
      module.exports.addMore = () => addBackgroundTask(whoAmI);
      module.exports.isOurs = (error) => error instanceof BackgroundTaskError;`,
    'app.js': `
      import { createServer } from 'node:http';
      import * as copy from 'express-background-tasks';
      import { watchTasks } from 'express-background-tasks/testing';
      import legacy from './legacy.cjs';
      const { backgroundTasks, blocking, BackgroundTaskError } = copy;
      const threads = blocking(new URL('./legacy.cjs', import.meta.url));
      const background = backgroundTasks({ logger: false, ambient: true });
      const valueOf = async (task) => (await background.add(task).settled).value;
      const refused = (call) => {
        try {
          call();
        } catch (error) {
          return error;
        }
      };

      const facts = { areTwo: copy.backgroundTasks !== legacy.backgroundTasks && copy.BackgroundTaskError !== legacy.BackgroundTaskError };
      facts.currentTaskOnTheEventLoop = await valueOf(legacy.whoAmI);
      facts.currentTaskInAThread = await valueOf(threads.whoAmI);
      facts.definedThere = await valueOf(legacy.defined);
      facts.referenceMadeThere = await valueOf(legacy.blocking(new URL('./legacy.cjs', import.meta.url)).whoAmI);
      facts.theirErrorIsOurs = legacy.refuse() instanceof BackgroundTaskError;
      facts.ourErrorIsTheirs = legacy.isOurs(refused(() => backgroundTasks({ ordr: 'parallel' })));
      facts.anyErrorIsNobodys = new Error('x') instanceof BackgroundTaskError || legacy.isOurs(new Error('x'));
      facts.thrownOnTheEventLoop = (await background.add(legacy.throwOurs).settled).error instanceof BackgroundTaskError;
      facts.movedBack = (await valueOf(threads.moveBack)).length;

      const handles = [];
      const server = createServer((req, res) => background(req, res, () => {
        handles.push(legacy.addMore());
        res.end();
      }));
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      await (await fetch(\`http://127.0.0.1:\${server.address().port}/\`)).text();
      server.close();
      facts.addedThere = (await handles[0].settled).value;

      const watcher = legacy.watchTasks(background, 'record');
      facts.watchedThere = (await background.add(legacy.whoAmI).settled).state;
      facts.seenThere = watcher.of(legacy.whoAmI).length;
      watcher.restore();
      facts.watchedHere = watchTasks(legacy.backgroundTasks({ logger: false })).added.length;
      console.log(JSON.stringify(facts));`,
  };

  it(
    'work as one',
    async () => {
      const { code, stdout, stderr } = await runNode(['app.js'], makeProject(packed, files, []));
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({
        areTwo: true,
        currentTaskOnTheEventLoop: 'whoAmI',
        currentTaskInAThread: 'whoAmI',
        definedThere: 'defined',
        referenceMadeThere: 'whoAmI',
        theirErrorIsOurs: true,
        ourErrorIsTheirs: true,
        anyErrorIsNobodys: false,
        thrownOnTheEventLoop: true,
        movedBack: 8,
        addedThere: 'whoAmI',
        watchedThere: 'skipped',
        seenThere: 1,
        watchedHere: 0,
      });
    },
    TIMEOUT,
  );
});
