import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { BackgroundTaskError } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { commandOf as parsedCommand, type WorkCommand, workOptionNames } from '../lib/cli/arguments.ts';
import { resolveBullMQOptions } from '../lib/engines/bullmq/options.ts';
import { resolvePgBossOptions } from '../lib/engines/pg-boss/options.ts';
import { errorCodes } from '../lib/errors.ts';
import { resolveOptions } from '../lib/options/resolved.ts';
import { freePort } from './engines/support/child-servers.ts';
import { request } from './support/clients.ts';
import {
  anchorsOf,
  type CodeBlock,
  codeBlocksOf,
  headingsOf,
  relativeLinksOf,
  tableBelow,
} from './support/markdown.ts';
import { optionNames } from './support/option-names.ts';
import { built, commandOf, makeProject, root, runNode } from './support/projects.ts';
import { startServerProgram } from './support/server-program.ts';

const TIMEOUT = 30_000;

const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll(sep, '/'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const documents = ['README.md', 'CHANGELOG.md', 'SECURITY.md', ...docs];

function read(document: string): string {
  return readFileSync(join(root, document), 'utf8');
}

describe('the README', () => {
  it('says on its first screen what to type, when to use something else, and shows a whole program', () => {
    const firstScreen = read('README.md').split('\n').slice(0, 30).join('\n');
    expect(firstScreen).toContain('npm ci && npm run example');
    expect(firstScreen).toContain('npm ci && npm test');
    expect(firstScreen).toContain('Use something else');
    expect(codeBlocksOf(firstScreen).map(({ file }) => file)).toEqual([undefined, 'app.mjs']);
  });

  it(
    'has a quickstart that runs, and sends its mail when it has answered',
    async () => {
      const project = makeProject(built, filesOf('README.md', ['app.mjs']), []);
      const program = await startServerProgram(join(project, 'app.mjs'), project);

      const { status, body } = await request(program.port, { method: 'POST', path: '/users/ada@example.com' });
      expect({ status, ...JSON.parse(body) }).toEqual({ status: 201, message: expect.any(String) });
      await program.until(/^sent to ada@example\.com: Welcome$/m);
    },
    TIMEOUT,
  );
});

describe('the quickstart', () => {
  it(
    'runs: a task on the event loop, one in a thread, a status page, and an end that loses nothing',
    async () => {
      const project = makeProject(built, filesOf('docs/quickstart.md', ['app.mjs', 'tasks/reports.mjs']), []);
      const program = await startServerProgram(join(project, 'app.mjs'), project);

      const added = await request(program.port, { method: 'POST', path: '/reports/1000' });
      const { task } = JSON.parse(added.body) as { task: string };
      expect(added.status).toBe(202);
      await program.until(/^audit: completed$[\s\S]*^countPrimes: completed$/m);
      expect(readFileSync(join(project, 'audit.log'), 'utf8')).toBe('a report on 1000\n');

      const found = await request(program.port, { path: `/tasks/${task}` });
      expect(JSON.parse(found.body)).toEqual({ name: 'countPrimes', state: 'completed', value: 168 });
      expect((await request(program.port, { path: '/tasks/nobody' })).status).toBe(404);

      program.kill('SIGTERM');
      await program.until(/^lost: 0$/m);
      expect(await program.exited).toBe(0);
    },
    TIMEOUT,
  );
});

describe('the recipe for the end of a server', () => {
  it(
    'waits for the tasks that are under way, says so, and ends the process',
    async () => {
      const [recipe] = codeBlocksOf(read('docs/shutdown.md'));
      const files = { 'app.mjs': applicationToShutDown, 'shutdown.mjs': recipe?.code ?? '' };
      const project = makeProject(built, files, ['close-with-grace']);
      const program = await startServerProgram(join(project, 'app.mjs'), project);

      await request(program.port);
      await program.until(/^started$/m);
      program.kill('SIGTERM');
      await program.until(/^tasks at the end: 1 completed, 0 failed, 0 abandoned$/m);
      await program.exited;
    },
    TIMEOUT,
  );
});

/** Its task has begun before the signal, and ends after it. */
const applicationToShutDown = `
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';

globalThis.background = backgroundTasks();
globalThis.app = express();
app.use(background);
app.get('/', (_req, res) => {
  res.locals.backgroundTasks.add(untilTheSignal);
  res.end();
});
function untilTheSignal() {
  console.log('started');
  return new Promise((resolve) => process.once('SIGTERM', () => setTimeout(resolve, 50)));
}
await import('./shutdown.mjs');
`;

describe('the recipe for retries', () => {
  it.each([
    ['fetch', "fetch('http://127.0.0.1:' + port)"],
    [
      'nodemailer',
      "createTransport({ host: '127.0.0.1', port }).sendMail({ from: 'shop@example.com', to, text: 'Hi' })",
    ],
  ])(
    'tries again what %s throws if nobody listens',
    async (_client, call) => {
      const recipe = codeBlocksOf(read('docs/recipes.md')).find(({ code }) => code.includes('retryIf'));
      const files = { 'app.mjs': applicationToRetry(call, await freePort()), 'recipe.mjs': recipe?.code ?? '' };
      const project = makeProject(built, files, ['nodemailer']);
      const program = await startServerProgram(join(project, 'app.mjs'), project);

      await request(program.port, { method: 'POST', path: '/users' });
      const [, end] = await program.until(/^attempt 1: (.*)$/m);
      expect(end).toBe('to be tried again');
    },
    TIMEOUT,
  );
});

/** Its task calls a port that nobody listens on. */
function applicationToRetry(call: string, port: number): string {
  return `
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { createTransport } from 'nodemailer';

const port = ${port};
globalThis.sendWelcome = (to) => ${call};
globalThis.app = express();
const background = backgroundTasks({ logger: false });
background.on('retrying', ({ attempt }) => console.log('attempt ' + attempt + ': to be tried again'));
background.on('settled', ({ attempts, error }) => console.log('attempt ' + attempts + ': ' + error?.message));
app.use(background);
await import('./recipe.mjs');
app.listen(3000);
`;
}

describe('the code in the documents', () => {
  // tsc itself, over one project with a directory for each document: types, imports between blocks, and the syntax of JavaScript.
  it(
    'compiles',
    async () => {
      const project = makeProject(built, projectOfAllBlocks(), [
        ...[
          'express',
          'connect',
          'winston',
          'pino',
          'close-with-grace',
          'supertest',
          'tsx',
          'expect',
          '@jest/globals',
          'pg',
        ],
        ...['node', 'express', 'express-serve-static-core', 'supertest', 'pg'].map((name) => `@types/${name}`),
      ]);
      const { code, stdout } = await runNode([commandOf('typescript', 'tsc'), '-p', '.'], project);
      expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    },
    TIMEOUT,
  );
});

describe('docs/options.md', () => {
  const page = read('docs/options.md');
  const { policy, pool, processes, durable, ...middleware } = resolveOptions();
  const { watchdog, work } = resolveOptions({ watchdog: true, engine: memoryEngine(), work: true });
  const groups: readonly [string, readonly string[], Readonly<Record<string, unknown>>][] = [
    ['Options of the middleware', optionNames.middleware, { ...middleware, ...policy, work: false }],
    ['pool', optionNames.pool, { ...pool, maxThreads: undefined }],
    ['processes', optionNames.processes, { ...processes, maxProcesses: undefined }],
    ['watchdog', optionNames.watchdog, { ...watchdog }],
    ['durable', optionNames.durable, { ...durable }],
    ['work', optionNames.work, { ...work, concurrency: undefined }],
    ['Durable task options', optionNames.durableTask, { ...policy, executor: 'thread' }],
    ['Task options', optionNames.task, { ...policy, executor: 'thread' }],
    ['retry', optionNames.retry, policy.retry as unknown as Record<string, unknown>],
    ['Options of createWorker', optionNames.worker, { ...middleware, ...work, concurrency: undefined }],
    ['Options of close', ['timeout'], { timeout: defaultOfClose() }],
  ];

  it.each(groups)('has a row for each option below "%s", and no other', (heading, names) => {
    expect(namesIn(page, heading).sort()).toEqual([...names].sort());
  });

  it.each(groups)('gives the defaults of the code below "%s"', (heading, names, defaults) => {
    const documented = tableBelow(page, heading).map(([name = '', value = '']) => [nameIn(name), plainValueOf(value)]);
    const expected = names.map((name) => [name, isPlainValue(defaults[name]) ? defaults[name] : undefined]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(expected));
  });

  it('is summed up by the README: the same options, the same defaults', () => {
    const [here, there] = [page, read('README.md')].map((text, index) =>
      tableBelow(text, index === 0 ? 'Options of the middleware' : 'Options').map(([name = '', value = '']) => [
        nameIn(name),
        plainValueOf(value),
      ]),
    );
    expect(there).toEqual(here);
  });
});

describe('docs/operating.md', () => {
  const page = read('docs/operating.md');
  const ofBullmq = resolveBullMQOptions({ connection: 'redis://localhost' });
  const ofPgBoss = resolvePgBossOptions({ connection: 'postgres://localhost' });
  const tables: readonly [string, string, readonly string[], Readonly<Record<string, unknown>>][] = [
    ['bullmq()', 'Running Redis for this', Object.keys(ofBullmq), { ...ofBullmq, connection: undefined }],
    ['pgBoss()', 'Running Postgres for this', Object.keys(ofPgBoss), { ...ofPgBoss, connection: undefined }],
    ['the command work', 'Workers', workOptionNames, defaultsOfWork()],
  ];

  it.each(tables)('has each option of %s, and no other', (_what, heading, names) => {
    const documented = tableBelow(page, heading).flatMap(([cell = '']) => codesIn(cell).map(withoutDashes));
    expect(documented.sort()).toEqual([...names].sort());
  });

  it.each(tables)('gives the defaults of the code for %s', (_what, heading, names, defaults) => {
    const documented = tableBelow(page, heading).flatMap(([cell = '', values = '']) => {
      const [options, codes] = [codesIn(cell).map(withoutDashes), codesIn(values)];
      // Values stand in the order of their names, and none is left out; anything else is a description.
      return options.map((name, index) => [name, codes.length === options.length ? literal(codes[index]) : undefined]);
    });
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(names.map((name) => [name, defaults[name]])));
  });
});

describe('docs/errors.md', () => {
  const page = read('docs/errors.md');
  const codes = headingsOf(page)
    .filter(({ level }) => level === 2)
    .map(({ text }) => text);

  it('has a heading for each code, and no other', () => {
    expect(codes.sort()).toEqual([...errorCodes].sort());
  });

  it('is where the `help` of every error leads', () => {
    const anchors = anchorsOf(page);
    for (const code of errorCodes) {
      const [path, anchor] = new BackgroundTaskError(code, 'a message').help.split('#');
      expect(path).toBe('express-background-tasks/docs/errors.md');
      expect(anchors).toContain(anchor);
    }
  });
});

describe('the links', () => {
  it.each(documents)('in %s lead to files and headings that are there', (document) => {
    const broken = relativeLinksOf(read(document)).filter((link) => !leadsSomewhere(link, document));
    expect(broken).toEqual([]);
  });

  it('reach every document from docs/README.md', () => {
    const linked = new Set(relativeLinksOf(read('docs/README.md')).map((link) => `docs/${link}`));
    expect(docs.filter((document) => document !== 'docs/README.md' && !linked.has(document))).toEqual([]);
  });
});

function leadsSomewhere(link: string, document: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(root, document) : resolve(root, dirname(document), path);
  const stats = statSync(target, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return anchor === undefined || (stats.isFile() && anchorsOf(read(relative(root, target))).includes(anchor));
}

/** The blocks of a document that say that they are these files. */
function filesOf(document: string, files: readonly string[]): Record<string, string> {
  const blocks = codeBlocksOf(read(document));
  return Object.fromEntries(
    files.map((file) => {
      const block = blocks.find((one) => one.file === file);
      if (block === undefined) throw new Error(`${document} has no block that says it is ${file}`);
      return [file, block.code];
    }),
  );
}

function projectOfAllBlocks(): Record<string, string | object> {
  const files: Record<string, string | object> = {
    'package.json': { name: 'documents', private: true, type: 'module' },
    'tsconfig.json': {
      compilerOptions: {
        ...{ target: 'es2023', lib: ['es2023', 'esnext.disposable'], module: 'nodenext', types: ['node'] },
        ...{ strict: true, skipLibCheck: true, noEmit: true, allowJs: true },
      },
    },
  };
  for (const name of ['prelude', 'nestjs', 'opentelemetry', 'serverless-http', 'vitest']) {
    files[`${name}.d.ts`] = read(`__tests__/fixtures/docs/${name}.d.ts`);
  }
  for (const document of documents) {
    for (const [index, block] of codeBlocksOf(read(document)).entries()) {
      if (!/^[jt]s$/.test(block.language)) continue;
      files[pathOf(block, index, document)] = /^(import|export) /m.test(block.code) ? block.code : asModule(block);
    }
  }
  return files;
}

function pathOf({ file, language }: CodeBlock, index: number, document: string): string {
  return `${document.replace('.md', '')}/${file ?? `block-${index}.${language}`}`;
}

/** Without an import, TypeScript would put what a block declares among the globals of all. */
function asModule({ language, code }: CodeBlock): string {
  return language === 'ts' ? `${code}export {};\n` : code;
}

/** As they are written on the command line, and where one is an environment variable, its name. */
function defaultsOfWork(): Record<string, unknown> {
  const named = new Proxy({}, { get: (_target, name) => name });
  const { engine, queue, concurrency, threads, timeout, health } = parsedCommand(
    ['work', 'registry.js'],
    named,
  ) as WorkCommand;
  return {
    ...{ engine, queue, concurrency, threads, timeout },
    ...{ 'health-port': health.port, 'health-host': health.host, 'health-file': health.file },
  };
}

function codesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);
}

function withoutDashes(option: string): string {
  return option.replace(/^--/, '');
}

/** What is no literal, such as an address, is itself. */
function literal(code = ''): unknown {
  try {
    return runInNewContext(`(${code})`);
  } catch {
    return code;
  }
}

function namesIn(page: string, heading: string): string[] {
  return tableBelow(page, heading).map(([name = '']) => nameIn(name));
}

function nameIn(cell: string): string {
  return /`(\w+)`/.exec(cell)?.[1] ?? cell;
}

/** Code in a cell is a value; anything else is a description. */
function plainValueOf(cell: string): unknown {
  const [, code] = /^`([^`]+)`$/.exec(cell) ?? [];
  return code === undefined ? undefined : JSON.parse(code.replaceAll("'", '"').replaceAll('_', ''));
}

function isPlainValue(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

/** The one default that nothing exports is taken from where its docstring gives it to editors. */
function defaultOfClose(): unknown {
  return plainValueOf(`\`${/@default (\S+)/.exec(readFileSync(join(root, 'lib/close.ts'), 'utf8'))?.[1]}\``);
}
