import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { atEnd } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { root } from './support/projects.ts';
import { runScript } from './support/scripts.ts';
import { type Program, startProgram } from './support/server-program.ts';
import { untilHolds } from './support/time.ts';

const COMMAND = join(root, 'dist/esm/cli/main.js');
const ENGINE = fileURLToPath(fixture('worker-engine.mjs'));

function run(args: readonly string[], env: Record<string, string> = {}): Program {
  return startProgram([COMMAND, ...args], { env: { ...process.env, ...env } });
}

function work(registry: string, args: readonly string[] = [], env: Record<string, string> = {}): Program {
  return run(['work', fileURLToPath(fixture(registry)), '--engine', ENGINE, ...args], env);
}

interface Refusal {
  readonly code: number;
  readonly written: string;
}

describe('the command', () => {
  it('says how it is used, and which version it is', async () => {
    const [help, version] = [run(['--help']), run(['--version'])];
    expect([await help.exited, await version.exited]).toEqual([0, 0]);
    expect(help.output).toMatch(/^Usage: express-background-tasks work <registry>/);
    expect(version.output.trim()).toBe(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  });

  it('exits with 2 where it is not given what it needs', async () => {
    const program = run([]);
    expect(await program.exited).toBe(2);
    await program.until(/^Expected the command work, got nothing\.\n\nUsage: [\s\S]*--version\n$/);
  });

  const refused: readonly (readonly [string, readonly string[], string | RegExp])[] = [
    ['another command', ['play'], 'Expected the command work, got play.'],
    ['no registry', ['work'], 'Expected the path of a registry after work, got nothing.'],
    ['two registries', ['work', 'a', 'b'], 'Expected one registry, got 2.'],
    ['an option that there is not', ['work', 'a', '--thread', '1'], "Unknown option '--thread'"],
    [
      'no number',
      ['work', 'a', '--concurrency', 'many'],
      'Expected --concurrency to be an integer of at least 1, got many.',
    ],
    [
      'too small a number',
      ['work', 'a', '--threads', '0'],
      'Expected --threads to be an integer of at least 1, got 0.',
    ],
    [
      'a time that is longer than a timer can wait',
      ['work', 'a', '--timeout', '3000000000'],
      'Expected --timeout to be an integer from 0 to 2147483647, got 3000000000.',
    ],
    [
      'a variable without a value for a number',
      ['work', 'a', '--timeout', ''],
      'Expected --timeout to be an integer from 0 to 2147483647, got nothing.',
    ],
    ...['0x10', '1e1', '+8', '8.0'].map((text): [string, readonly string[], string] => [
      `a number that is not written in digits, ${text}`,
      ['work', 'a', '--concurrency', text],
      `Expected --concurrency to be an integer of at least 1, got ${text}.`,
    ]),
    [
      'a host without a port',
      ['work', 'a', '--health-host', '0.0.0.0'],
      'Expected --health-port with --health-host, got no port: without one nothing listens there.',
    ],
    [
      'a variable without a value for a host',
      ['work', 'a', '--health-port', '0', '--health-host', ''],
      'Expected --health-host to be an address, got nothing.',
    ],
    [
      'a port that there is not',
      ['work', 'a', '--health-port', '65536'],
      'Expected --health-port to be an integer from 0 to 65535, got 65536.',
    ],
    [
      'a registry that is not there',
      ['work', 'nowhere.js', '--engine', ENGINE],
      'Expected the registry nowhere.js to load',
    ],
    [
      'a registry that throws, and where',
      ['work', fileURLToPath(fixture('worker-registry-throwing.mjs')), '--engine', ENGINE],
      'to load: TypeError: no such database\n    at openDatabase (',
    ],
    [
      'a registry that throws what has no stack',
      ['work', fileURLToPath(fixture('worker-registry-throwing-bare.mjs')), '--engine', ENGINE],
      'to load: no such database\n\nUsage',
    ],
    [
      'a registry with an option that there is not, and where',
      ['work', fileURLToPath(fixture('worker-registry-unknown-option.mjs')), '--engine', ENGINE],
      /to load: BackgroundTaskError: `bogus` is not an option[^\n]*\n(?: {4}at [^\n]*\n)* {4}at [^\n]*worker-registry-unknown-option\.mjs:4/,
    ],
    [
      'a registry that uses Node in a wrong way, and where',
      ['work', fileURLToPath(fixture('worker-registry-invalid-url.mjs')), '--engine', ENGINE],
      /to load: TypeError[^\n]*: Invalid URL\n(?: {4}at [^\n]*\n)* {4}at [^\n]*worker-registry-invalid-url\.mjs:2/,
    ],
    [
      'a registry in TypeScript where Node needs a loader',
      ['work', fileURLToPath(fixture('worker-registry.tsx')), '--engine', ENGINE],
      'cannot load TypeScript by itself: node --import tsx node_modules/express-background-tasks/dist/esm/cli/main.js work …',
    ],
    [
      'no engine',
      ['work', fileURLToPath(fixture('worker-registry.mjs'))],
      'Expected --engine, or BACKGROUND_TASKS_ENGINE in the environment, got neither.',
    ],
    [
      'an engine from a variable that is not set',
      ['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', ''],
      'Expected --engine, or BACKGROUND_TASKS_ENGINE in the environment, got neither.',
    ],
    [
      'an engine from a module without a default export',
      [
        'work',
        fileURLToPath(fixture('worker-registry.mjs')),
        '--engine',
        fileURLToPath(fixture('worker-registry.mjs')),
      ],
      'worker-registry.mjs to have a default export, got none.',
    ],
    [
      'a queue for an engine that names its own',
      ['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', ENGINE, '--queue', 'q'],
      'Expected --queue only with a URL as --engine',
    ],
    [
      'a queue that its engine cannot have',
      ['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', 'redis://127.0.0.1:1', '--queue', 'a:b'],
      "Expected `queue` of bullmq() to be a non-empty string without a colon, got 'a:b' (string).\n\nUsage",
    ],
    [
      'an engine of a scheme that it does not know',
      ['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', 'valkey://user:hunter2@localhost'],
      'Expected --engine to be redis://…, rediss://…, postgres://…, postgresql://… or the path of a module, got valkey://…@localhost.',
    ],
    [
      'an engine without a scheme',
      ['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', 'user:hunter2@localhost'],
      'got user:…@localhost.',
    ],
  ];
  // One program is given all of them: the first test to begin starts it.
  let ended: Promise<readonly Refusal[]> | undefined;
  it.each(refused.map((line, index) => [...line, index] as const))(
    'refuses %s, with a sentence and how it is used',
    async (_name, _args, message, index) => {
      ended ??= runScript('command-lines.mjs', JSON.stringify(refused.map(([, args]) => args))).then(JSON.parse);
      const { code, written } = (await ended)[index] as Refusal;
      expect(code).toBe(2);
      expect(written).toMatch(message);
      expect(written).not.toContain('hunter2');
      expect(written).toContain('Usage: express-background-tasks work');
    },
  );

  it.each(['REDIS:/user:hunter2@localhost', 'postgres:/user:hunter2@localhost'])(
    'shows no password of a URL that is mistyped: %s',
    async (url) => {
      const program = run(['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', url]);
      expect(await program.exited).not.toBe(0);
      expect(program.output).toMatch(/^Expected /m);
      expect(program.output).not.toContain('hunter2');
    },
  );

  it.each<[string, string, string]>([
    [
      'an export is missing that was named before another file has registered the same',
      'worker-registry-missing-export.mjs',
      'to export a function takeNoTime. Its functions are: takeSomeTime, untilAborted.',
    ],
    ['an export with a parser is missing', 'worker-registry-missing-parser.mjs', 'to export a function takeSomeTimes'],
    [
      'a module does not load',
      'worker-registry-broken-module.mjs',
      'Expected the module registered as broken to load in a worker',
    ],
    ['nothing is registered', 'worker-registry-empty.mjs', 'Expected at least one module to be registered, got none'],
  ])('fails at the start where %s', async (_name, registry, message) => {
    const program = work(registry);
    expect(await program.exited).toBe(1);
    expect(program.output).toContain(message);
  });
});

describe('a worker program', () => {
  it('says what it runs; at SIGTERM it takes no more, lets what runs finish, and ends', async () => {
    const program = work('worker-registry.mjs', ['--threads', '1'], { TASK: 'tasks.takeSomeTime', ARGUMENT: '300' });
    await program.until(/^Takes tasks from memory: tasks\.takeSomeTime, tasks\.untilAborted$/m);
    await program.until(/^task: started$/m);
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    expect(program.output).toMatch(
      /^SIGTERM: takes no more tasks[\s\S]*^task: done$[\s\S]*^Ended: 1 completed, 0 failed, 0 given back$/m,
    );
  });

  it('runs as many tasks at once as --concurrency says, though there are threads for more', async () => {
    const program = work('worker-registry.mjs', ['--concurrency', '2', '--threads', '3', '--health-port', '0'], {
      TASK: 'tasks.untilAborted',
      TASKS: '3',
    });
    const port = Number((await program.until(/^Health: .*:(\d+)$/m))[1]);
    await program.until(/(?:^task: started$[\s\S]*){2}/m);
    // The engine gives a worker at once all that it may have.
    const { running, engine } = JSON.parse((await request(port)).body);
    expect({ running, engine }).toMatchObject({ running: 2, engine: { running: 2, waiting: 1 } });
    expect(program.output.match(/^task: started$/gm)).toHaveLength(2);
  });

  it('says which module it waits for', async () => {
    const program = work('worker-registry-waiting-module.mjs');
    await program.until(/The module registered as waiting has not loaded after 5000 ms.*module-waits\.mjs/);
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
  });

  it('takes its engine from a module that was compiled to CommonJS as well', async () => {
    const engine = fileURLToPath(fixture('worker-engine-compiled.cjs'));
    const program = run(['work', fileURLToPath(fixture('worker-registry.mjs')), '--engine', engine]);
    await program.until(/^Takes tasks from memory: /m);
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
  });

  it('gives back what does not end in time', async () => {
    const program = work('worker-registry.mjs', ['--timeout', '100'], { TASK: 'tasks.untilAborted' });
    await program.until(/^task: started$/m);
    program.kill('SIGINT');
    expect(await program.exited).toBe(0);
    expect(program.output).toMatch(/^Ended: 0 completed, 0 failed, 1 given back$/m);
  });

  it('treats a signal that comes twice as one, as it does where npx passes on what the terminal sends to both', async () => {
    const program = work('worker-registry.mjs', [], { TASK: 'tasks.takeSomeTime', ARGUMENT: '300' });
    await program.until(/^task: started$/m);
    program.kill('SIGINT');
    await program.until(/^SIGINT: takes no more/m);
    program.kill('SIGINT');
    expect(await program.exited).toBe(0);
    expect(program.output).toMatch(/^task: done$[\s\S]*^Ended: 1 completed/m);
  });

  it('ends at once at a second signal', async () => {
    const program = work('worker-registry.mjs', ['--timeout', '60000'], { TASK: 'tasks.untilAborted' });
    await program.until(/^task: started$/m);
    const asking = setInterval(() => program.kill('SIGTERM'), 50);
    atEnd(() => clearInterval(asking));
    expect(await program.exited).toBe(1);
  });

  it('ends in order also when nothing reads its output any more', async () => {
    const args = [
      COMMAND,
      'work',
      fileURLToPath(fixture('worker-registry.mjs')),
      '--engine',
      ENGINE,
      '--timeout',
      '100',
    ];
    const env = { ...process.env, TASK: 'tasks.untilAborted' };
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = once(child, 'exit');
    atEnd(() => child.kill('SIGKILL'));
    for await (const text of child.stdout) if (String(text).includes('task: started')) break;
    child.stderr.destroy();
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  it('ends at a signal while it waits for an engine that cannot be reached', async () => {
    const program = work('worker-registry.mjs', [], { FAILS: 'start' });
    await program.until(/The engine memory: connection refused/);
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
  });
});

describe('an instance that is closed before it takes tasks', () => {
  it.each([
    ['in the turn in which it was made', 'thread', 'at once', 0],
    ['while its first thread starts', 'thread', 'starting', 0],
    ['while a thread loads a module', 'thread', 'loading', 100],
    ['while its event loop loads a module', 'event-loop', 'loading', 100],
  ])('says so by `ready`, logs nothing, and lets the process end: %s', async (_name, executor, when, timeout) => {
    const printed = await runScript('script-closed-early.mjs', executor, when, String(timeout));
    expect(JSON.parse(printed)).toEqual({ ready: 'ERR_BACKGROUND_CLOSED', lines: [] });
  });
});

describe('the health of a worker program', () => {
  it('is given by a route and by a file, while tasks are taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'background-tasks-health-'));
    atEnd(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'health');
    const program = work('worker-registry.mjs', ['--health-port', '0', '--health-file', file], {
      TASK: 'tasks.untilAborted',
    });
    const port = Number((await program.until(/^Health: http:\/\/127\.0\.0\.1:(\d+)$/m))[1]);
    await program.until(/^task: started$/m);
    const { status, body } = await request(port);
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ status: 'working', running: 1, engine: { running: 1 } });
    await untilHolds(() => existsSync(file));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ at: expect.any(String) });
  });

  it('is not written to a file that cannot be written, which is told once', async () => {
    const tick = 'const { setInterval: set } = globalThis; globalThis.setInterval = (call) => set(call, 20);';
    const program = work('worker-registry.mjs', ['--health-file', join(root, 'nowhere', 'health')], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(tick)}`,
      TELLS: 'stats',
    });
    await program.until(/(^engine: stats$[\s\S]*){10}/m);
    expect(program.output.match(/^The health file could not be written: ENOENT/gm)).toHaveLength(1);
  });

  it('ends the program at its start where it cannot be given at the port, as when another has it', async () => {
    const another = createServer().listen(0, '127.0.0.1');
    atEnd(() => another.close());
    await once(another, 'listening');
    const { port } = another.address() as AddressInfo;
    const program = work('worker-registry.mjs', ['--health-port', String(port)]);
    expect(await program.exited).toBe(1);
    expect(program.output).toBe(
      `The health route could not be opened: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
    );
  });

  it('is asked of the engine once, however many ask at the same time', async () => {
    const program = work('worker-registry.mjs', ['--health-port', '0'], { TELLS: 'stats' });
    const port = Number((await program.until(/^Health: .*:(\d+)$/m))[1]);
    await program.until(/^Takes tasks/m);
    const client = await RawClient.connect(port);
    client.send(getText().repeat(20));
    await client.until(/(200 OK[\s\S]*){20}/);
    await program.until(/^engine: stats$/m);
    expect(program.output.match(/^engine: stats$/gm)).toHaveLength(1);
  });

  it('is given also after connections could not be accepted, each of which is told', async () => {
    const program = work('worker-registry.mjs', ['--health-port', '0'], {
      NODE_OPTIONS: `--import=${fixture('preload-refuses-connections.mjs')}`,
    });
    const port = Number((await program.until(/^Health: .*:(\d+)$/m))[1]);
    await program.until(/(^The health route could not accept a connection: accept EMFILE$[\s\S]*){2}/m);
    await program.until(/^Takes tasks/m);
    expect((await request(port)).status).toBe(200);
  });

  it('is given at an address of IPv6, too, and the line that says where is a URL', async () => {
    const program = work('worker-registry.mjs', ['--health-port', '0', '--health-host', '::1']);
    const [, url] = await program.until(/^Health: (.+)$/m);
    await program.until(/^Takes tasks/m);
    expect((await fetch(url as string)).status).toBe(200);
  });

  it.each([
    ['it waits for its engine', 'start', { phase: 'starting' }],
    ['its engine does not answer', 'stats', { engine: 'Expected memory to count its tasks: connection refused' }],
  ])('is 503 while %s', async (_name, method, facts) => {
    const program = work('worker-registry.mjs', ['--health-port', '0'], { FAILS: method });
    const port = Number((await program.until(/^Health: .*:(\d+)$/m))[1]);
    if (method === 'stats') await program.until(/^Takes tasks/m);
    const { status, body } = await request(port);
    expect(status).toBe(503);
    expect(JSON.parse(body)).toMatchObject({ status: 'unavailable', ...facts });
  });
});
