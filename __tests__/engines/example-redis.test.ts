import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { browserIsInstalled, startBrowser } from '../support/browser.ts';
import { atEnd } from '../support/cleanup.ts';
import { listenTo } from '../support/example-app.ts';
import { isAlive, untilGone } from '../support/process-ids.ts';
import { root } from '../support/projects.ts';
import { type Program, startProgram } from '../support/server-program.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

jest.setTimeout(60_000);

const GONE_WITHIN = 20_000;
const SERVER = join(root, 'examples/app/server.js');

type Environment = Readonly<Record<string, string>>;

interface Uploaded {
  readonly thumbnail: string;
  readonly tasks: readonly { readonly id: string; readonly name: string }[];
}

interface Example {
  readonly program: Program;
  readonly url: string;
  readonly pid: number;
  readonly workerPid: number;
  /** The printed line that starts another worker. */
  readonly command: string;
  /** `undefined` where the Redis is not its own. */
  readonly redisPid: number | undefined;
  upload(): Promise<Uploaded>;
  /** Asks for the thumbnail's task. */
  until(state: string, upload: Uploaded): Promise<void>;
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-example-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** In a group of its own, as a terminal starts it. */
function runExample(env: Environment, args: readonly string[] = ['--engine', 'redis']): Program {
  return startProgram([SERVER, ...args], { detached: true, cwd: root, env: { ...process.env, PORT: '0', ...env } });
}

/** The processes beside the server: they outlive the test if the example does not end them. */
async function besides(program: Program): Promise<Pick<Example, 'workerPid' | 'redisPid' | 'command'>> {
  const [, redis, worker, command = ''] = await program.until(
    /Redis(?: \(process (\d+)\))? keeps .* worker \(process (\d+)\).*\n {2}(.+)\n/,
  );
  const pids = [redis, worker].filter((pid) => pid !== undefined).map(Number);
  atEnd(() => {
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
  return { workerPid: Number(worker), redisPid: redis === undefined ? undefined : Number(redis), command };
}

async function startExample(env: Environment = {}): Promise<Example> {
  const program = runExample({ DATA: makeFolder(), ...env });
  const beside = await besides(program);
  await program.until(/^Takes tasks from bullmq: images\.thumbnail$/m);
  const [, url = '', pid] = await program.until(/^Listening on (http:\S+),.*\(process (\d+)\)$/m);
  return {
    program,
    url,
    pid: Number(pid),
    ...beside,
    async upload() {
      const body = new URLSearchParams({ email: 'ada@example.com', sample: 'lake-at-dusk.jpg' });
      const form = new FormData();
      for (const [name, value] of body) form.set(name, value);
      const answer = await fetch(`${url}/uploads`, { method: 'POST', body: form, headers: { connection: 'close' } });
      expect(answer.status).toBe(202);
      return (await answer.json()) as Uploaded;
    },
    async until(state, { tasks }) {
      const id = tasks.find(({ name }) => name === 'thumbnail')?.id;
      let task: { state: string };
      do task = (await (await fetch(`${url}/tasks/${id}`)).json()) as typeof task;
      while (task.state !== state);
    },
  };
}

async function untilAllGone({ workerPid, redisPid }: Pick<Example, 'workerPid' | 'redisPid'>): Promise<void> {
  await untilGone(workerPid, GONE_WITHIN);
  if (redisPid !== undefined) await untilGone(redisPid, GONE_WITHIN);
}

async function killWorker({ program, workerPid }: Example): Promise<void> {
  process.kill(workerPid, 'SIGKILL');
  await program.until(/^The worker has ended \(SIGKILL\)/m);
}

/** Of every process that there is, on Linux. */
function commandLines(): string[] {
  if (!existsSync('/proc/self/cmdline')) return [];
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return ids.map((id) => {
    try {
      return readFileSync(`/proc/${id}/cmdline`, 'utf8');
    } catch {
      return ''; // it has ended meanwhile
    }
  });
}

/** As a shell runs a line that was pasted into it. */
function paste(line: string): void {
  const shell: ChildProcess = spawn('sh', ['-c', line], { cwd: root, detached: true, stdio: 'ignore' });
  const exited = once(shell, 'exit');
  atEnd(async () => {
    process.kill(-(shell.pid as number), 'SIGKILL');
    await exited;
  });
}

describe('the example with --engine, called in a wrong way', () => {
  it.each([
    ['another engine', ['--engine', 'mongo']],
    ['no engine', ['--engine']],
    ['an unknown option', ['--foo']],
  ])('says in one line what was expected and exits with 2: %s', async (_what, args) => {
    const program = runExample({}, args);
    expect(await program.exited).toBe(2);
    await program.until(/\n$/);
    expect(program.output).toBe(
      `Expected no arguments or --engine redis, got ${args.join(' ')}. Try: npm start -- --engine redis\n`,
    );
  });

  it('says so of a REDIS_URL that is no URL of a Redis', async () => {
    const program = runExample({ REDIS_URL: 'localhost:6379' });
    expect(await program.exited).toBe(2);
    await program.until(/\n$/);
    expect(program.output).toMatch(/^Expected REDIS_URL to begin with redis:\/\/.* got localhost:6379\..*\n$/);
    const other = runExample({ REDIS_URL: 'http://:swordfish@localhost:6379' });
    expect(await other.exited).toBe(2);
    await other.until(/\n$/);
    expect(other.output).toMatch(/ got …@localhost:6379\./);
  });

  it('says in one line that there is no redis-server, and exits with 1', async () => {
    const program = runExample({ PATH: '/nowhere' });
    expect(await program.exited).toBe(1);
    await program.until(/\n$/);
    expect(program.output).toMatch(/^Expected redis-server to start, got: .*ENOENT\. Install Redis, .*REDIS_URL.*\n$/);
  });
});

if (redisIsInstalled) {
  it('the example keeps thumbnails in a Redis of its own, a worker makes them, and the end leaves no process', async () => {
    const example = await startExample();
    const { program, url, upload, until } = example;
    const uploaded = await upload();
    await until('completed', uploaded);
    expect((await fetch(url + uploaded.thumbnail)).headers.get('content-type')).toBe('image/webp');
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    await untilAllGone(example);
  });

  it('Ctrl-C, which hits a whole group of processes, ends the example in order: the server, the worker, Redis', async () => {
    const example = await startExample();
    const { program, pid, upload } = example;
    await upload();
    process.kill(-pid, 'SIGINT');
    expect(await program.exited).toBe(0);
    await program.until(
      /^SIGINT: .*^Tasks at the end: .*^SIGTERM: takes no more.*^Ended: .* 0 failed, 0 given back$/ms,
    );
    expect(program.output).not.toMatch(/has ended|ECONN/);
    await untilAllGone(example);
  });

  it('a server that is killed leaves no process, and the next one with its data makes what was left', async () => {
    const DATA = makeFolder();
    const example = await startExample({ DATA });
    await killWorker(example);
    const uploaded = await example.upload();
    await example.until('waiting', uploaded);
    example.program.kill('SIGKILL');
    await untilAllGone(example);
    const next = await startExample({ DATA });
    await next.until('completed', uploaded);
  });

  it('the worker of the example makes the thumbnail of a server that was killed after its answer', async () => {
    const { url: REDIS_URL } = await startRedis();
    const { program, upload } = await startExample({ REDIS_URL });
    const uploaded = await upload();
    program.kill('SIGKILL');
    await program.exited;
    const next = await startExample({ REDIS_URL });
    await next.until('completed', uploaded);
  });

  it('shows the password of a REDIS_URL nowhere: not in what it prints, nor in the list of processes', async () => {
    const { url, port } = await startRedis();
    const redis = new Redis(port);
    await redis.config('SET', 'requirepass', 'swordfish');
    redis.disconnect();
    const { program, workerPid } = await startExample({ REDIS_URL: url.replace('//', '//:swordfish@') });
    expect(program.output).toContain('BACKGROUND_TASKS_ENGINE="$REDIS_URL"');
    expect(program.output).not.toContain('swordfish');
    expect(commandLines().some((line) => line.includes('swordfish'))).toBe(false);
    // Its worker has the password all the same.
    expect(isAlive(workerPid)).toBe(true);
  });

  async function portThatIsTaken(): Promise<Environment> {
    const other = createServer().listen(0, '127.0.0.1');
    atEnd(() => other.close());
    await once(other, 'listening');
    return { PORT: String((other.address() as AddressInfo).port), DATA: makeFolder() };
  }

  /** By a file where the database's folder would be. */
  function folderThatIsTaken(): Environment {
    const DATA = makeFolder();
    writeFileSync(join(DATA, 'records'), '');
    return { DATA };
  }

  it.each([
    ['its port is taken', portThatIsTaken, /EADDRINUSE/],
    ['it cannot write its data', folderThatIsTaken, /records/],
  ])('a start that fails says so in one line, and leaves no process: %s', async (_why, take, reason) => {
    const program = runExample(await take());
    const beside = await besides(program);
    expect(await program.exited).toBe(1);
    const [line] = await program.until(
      /^The server did not start on port \d+, with its data in .*: .* Set PORT and DATA to change these\.$/m,
    );
    expect(line).toMatch(reason);
    expect(program.output).not.toMatch(/^ +at /m);
    await untilAllGone(beside);
  });

  it('the line that the example prints for another worker starts one', async () => {
    const example = await startExample();
    await killWorker(example);
    const uploaded = await example.upload();
    paste(example.command);
    await example.until('completed', uploaded);
  });

  it('20 thumbnails are reported with their times, and without a warning', async () => {
    const { program, url } = await startExample();
    const events = await listenTo(url);
    atEnd(events.close);
    const { tasks } = (await (await fetch(`${url}/thumbnails`, { method: 'POST' })).json()) as Uploaded;
    for (const { state, executor, waitedMs, ranMs } of await events.settled(tasks)) {
      expect([state, executor]).toEqual(['completed', 'worker-process']);
      expect(waitedMs).toBeGreaterThanOrEqual(0);
      expect(ranMs).toBeGreaterThan(0);
    }
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    expect(program.output).not.toContain('Warning');
  });

  it('ends in order also when nothing reads its output any more', async () => {
    const child = spawn(process.execPath, [SERVER, '--engine', 'redis'], {
      env: { ...process.env, PORT: '0', DATA: makeFolder() },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const exited = once(child, 'exit');
    atEnd(() => child.kill('SIGKILL'));
    for await (const text of child.stdout) if (String(text).includes('Listening')) break;
    expect(child.stdout.destroyed).toBe(true);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  (browserIsInstalled ? it : it.skip)(
    'the page shows a thumbnail that a worker made, also one that the server no longer lived to see',
    async () => {
      const DATA = makeFolder();
      const first = await startExample({ DATA });
      const browser = await startBrowser();
      atEnd(() => browser.close());
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      await page.goto(first.url);
      await page.locator('#samples img').first().waitFor();
      await page.locator('#connection.on').waitFor();
      const send = () => page.getByRole('button', { name: 'Send' }).click();
      const row = (task: string, state: string) => page.locator(`.row[data-task="${task}"][data-state="${state}"]`);

      await send();
      await row('thumbnail', 'completed').waitFor();
      expect(await row('thumbnail', 'completed').textContent()).toMatch(
        /worker process\s*waited [\d.]+\sm?s, ran [\d.]+\sm?s/,
      );
      await page.getByText('Awaited one after the other').waitFor();

      await killWorker(first);
      await send();
      await row('thumbnail', 'waiting').waitFor();
      await row('mail', 'completed').waitFor();
      first.program.kill('SIGKILL');
      await untilAllGone(first);
      await startExample({ DATA, PORT: new URL(first.url).port });
      await row('thumbnail', 'completed').waitFor();
      expect(await row('thumbnail', 'completed').textContent()).toMatch(/worker process\s*completed$/);
      await page.locator('#thumbnail img').waitFor();
      expect(problems).toEqual([]);
    },
  );
} else {
  it.skip('the example with --engine redis (not tried: redis-server is not installed here)', () => {});
}
