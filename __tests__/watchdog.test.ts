/** What is reported of a blocked event loop. Tests that need a process of their own are in watchdog-programs.test.ts. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import express, { type RequestHandler } from 'express';
import { type BlockedEvent, backgroundTasks, defineTask, type TaskHandle } from 'express-background-tasks';
import request from 'supertest';
import { derive, looksLikeLetters, pack, read, spin, sumOf } from './fixtures/watchdog-work.ts';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { getText, RawClient } from './support/clients.ts';
import { untilCollected } from './support/garbage.ts';
import { makeGate } from './support/gates.ts';
import { linesBetween, lineWith } from './support/places.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { expresses, listen } from './support/servers.ts';
import { work } from './support/time.ts';
import { type Blocks, keepWatching, listenTo, THRESHOLD, watch } from './support/watched.ts';

// On a slow machine a sample costs more, and it takes longer until the budget allows the next one.
jest.setTimeout(90_000);
expectNoProcessFaults();

const WORK = '__tests__/fixtures/watchdog-work.ts';
const SPINNING = { file: WORK, function: 'spin' };
const spinningLines = linesBetween('watchdog-work.ts', 'while (left > 0)', '}');

/** Blocks again and again until the watchdog has read a stack: on a busy machine its thread may get a core too late. */
async function blockUntilSampled(
  blocks: Blocks,
  isMeant: (event: BlockedEvent) => boolean,
  block: () => unknown,
): Promise<BlockedEvent> {
  for (;;) {
    await untilHeartbeat();
    const told = blocks.next();
    await block();
    const event = await told;
    if (isMeant(event) && event.stack.length > 0) return event;
  }
}

const isOfTask =
  (name: string) =>
  ({ task }: BlockedEvent): boolean =>
    task?.name === name;
const isOfRequest = ({ cause }: BlockedEvent): boolean => cause === 'request';
const goesThrough =
  (name: string) =>
  ({ stack }: BlockedEvent): boolean =>
    stack.some((frame) => frame.function === name);

/** A text that takes about this many milliseconds to parse. */
function jsonOf(ms: number): string {
  const rows = (count: number): string =>
    JSON.stringify(Array.from({ length: count }, (_, id) => ({ id, title: `row ${id}`, tags: ['a', 'b'] })));
  const some = rows(10_000);
  sumOf(some);
  return rows(Math.ceil((10_000 * ms) / durationOf(() => sumOf(some))));
}

/** Adds these tasks to every response, and keeps their handles. */
function adding(handles: TaskHandle[], ...tasks: (() => unknown)[]): RequestHandler {
  return (_req, res) => {
    for (const task of tasks) handles.push(res.locals.backgroundTasks.add(task));
    res.end();
  };
}

describe('a task that blocks', () => {
  keepWatching();

  it.each([200, 600, 2_000])('for %i ms is reported by name, id, request, time, function and line', async (ms) => {
    const { app, blocks } = watch();
    const handles: TaskHandle[] = [];
    const api = express.Router();
    api.post(
      '/reports/:id',
      adding(handles, function sendReport() {
        spin(ms);
      }),
    );
    app.use('/api', api);
    let startedAt = 0;
    const event = await blockUntilSampled(blocks, isOfTask('sendReport'), async () => {
      startedAt = performance.now();
      await request(app).post('/api/reports/7?draft=1').expect(200);
    });
    const tookMs = performance.now() - startedAt;
    expect(event).toMatchObject({
      cause: 'task',
      task: { id: handles.at(-1)?.id, name: 'sendReport' },
      request: { method: 'POST', route: '/api/reports/:id' },
      call: undefined,
    });
    expect(event.stack[0]).toMatchObject(SPINNING);
    expect(spinningLines).toContain(event.stack[0]?.line);
    expect(event.stack[1]).toMatchObject({ file: '__tests__/watchdog.test.ts', function: 'sendReport' });
    expect(event.blockedMs).toBeGreaterThan(ms * 0.8);
    expect(event.blockedMs).toBeLessThan(tookMs);
  });

  it('for hardly longer than the threshold is reported by name', async () => {
    const { background, blocks } = watch();
    const told = blocks.ofTask('brief');
    let isTold = false;
    void told.then(() => {
      isTold = true;
    });
    // Time that the machine withholds in the meantime may be overestimated.
    while (!isTold) {
      background.with({ name: 'brief' }).add(() => spin(60));
      await work(1);
    }
    expect(await told).toMatchObject({ cause: 'task', task: { name: 'brief' } });
  });

  it('after an await is reported like any other', async () => {
    const { app, blocks } = watch();
    const handles: TaskHandle[] = [];
    app.post(
      '/reports',
      adding(handles, async function sendReport() {
        await work(5);
        await null;
        spin(200);
      }),
    );
    const event = await blockUntilSampled(blocks, isOfTask('sendReport'), () => request(app).post('/reports'));
    expect(event).toMatchObject({
      cause: 'task',
      task: { id: handles.at(-1)?.id },
      request: { method: 'POST', route: '/reports' },
      stack: startsWith(SPINNING, { function: 'sendReport' }),
    });
  });

  it('twice in a row is reported twice, with the line each time', async () => {
    const { background, blocks } = watch();
    const bothSeen = async (): Promise<boolean> => {
      await untilHeartbeat();
      const from = blocks.events.length;
      const told = ['first', 'second'].map((name) => blocks.until(({ task }) => task?.name === name, from));
      await background.add(async function twice() {
        background.with({ name: 'first' }).add(() => spin(200));
        await untilHeartbeat();
        background.with({ name: 'second' }).add(() => spin(200));
      }).settled;
      const events = await Promise.all(told);
      return events.every(({ stack }) => stack[0]?.function === 'spin');
    };
    while (!(await bothSeen()));
    expect(blocks.tasks).toEqual(expect.arrayContaining(['first', 'second']));
  });

  it('is named, and none of those that are in flight beside it', async () => {
    const { app, background, blocks } = watch({ order: 'parallel' });
    const handles: TaskHandle[] = [];
    const patient = async (): Promise<void> => {
      await work(15);
      await work(40);
      spin(1);
    };
    app.post('/many', (_req, res) => {
      const tasks = res.locals.backgroundTasks;
      for (const name of ['one', 'two', 'three']) handles.push(tasks.with({ name }).add(patient));
      tasks.add(async function greedy() {
        await work(10);
        spin(250);
      });
      for (const name of ['four', 'five', 'six']) handles.push(tasks.with({ name }).add(patient));
      res.end();
    });
    await request(app).post('/many');
    await blocks.ofTask('greedy');
    await background.idle();
    // Their blocks would have been reported before this.
    background.with({ name: 'last' }).add(() => spin(150));
    await blocks.ofTask('last');
    expect(blocks.tasks).toEqual(['greedy', 'last']);
    expect(handles.map(({ state }) => state)).toEqual(Array(6).fill('completed'));
  });

  it('is named also by what it has left behind', async () => {
    const { background, blocks } = watch();
    const handles: TaskHandle[] = [];
    const event = await blockUntilSampled(blocks, isOfTask('leavesATimer'), async () => {
      const handle = background.add(function leavesATimer() {
        setTimeout(() => spin(200), 5);
      });
      handles.push(handle);
      expect((await handle.settled).state).toBe('completed');
    });
    expect(event).toMatchObject({
      task: { id: handles.at(-1)?.id },
      stack: expect.arrayContaining([expect.objectContaining(SPINNING)]),
    });
  });

  it('is reported under its own name, and without a request if there was none', async () => {
    const { background, blocks } = watch();
    background.add(defineTask(() => spin(200), { name: 'nightly report' }));
    expect(await blocks.ofTask('nightly report')).toMatchObject({ cause: 'task', request: undefined });
  });

  it('is reported also where the application has made something else of the request', async () => {
    const { app, blocks } = watch();
    app.post('/reports', (req, res) => {
      Object.assign(req, { originalUrl: new URL('http://localhost/reports'), baseUrl: 7, route: null });
      res.locals.backgroundTasks.add(function sendReport() {
        spin(200);
      });
      res.end();
    });
    await request(app).post('/reports?draft=1').expect(200);
    expect(await blocks.ofTask('sendReport')).toMatchObject({ request: { method: 'POST', route: '/reports' } });
  });

  it('and fails is reported all the same', async () => {
    const { background, blocks } = watch();
    const handle = background.add(function fails() {
      spin(200);
      throw new Error('after all that');
    });
    expect((await handle.settled).state).toBe('failed');
    expect(await blocks.ofTask('fails')).toMatchObject({ cause: 'task', task: { id: handle.id } });
  });

  it('is reported to its own instance only, and other blocks to all', async () => {
    const [mine, other] = [watch(), watch()];
    await other.background.add(() => {}).settled;
    mine.background.with({ name: 'mine' }).add(() => spin(200));
    await mine.blocks.ofTask('mine');
    const toldToOther = other.blocks.until(goesThrough('tick'));
    await blockUntilSampled(mine.blocks, goesThrough('tick'), () =>
      setTimeout(function tick() {
        spin(200);
      }, 1),
    );
    await toldToOther;
    expect(other.blocks.tasks).toEqual([]);
  });

  it('is reported without its stack to an instance that wants none, beside one that does', async () => {
    const [mine, other] = [watch(), watch({ watchdog: { threshold: THRESHOLD, stacks: false } })];
    await other.background.add(() => {}).settled;
    await blockUntilSampled(mine.blocks, isOfTask('mine'), () =>
      mine.background.with({ name: 'mine' }).add(() => spin(200)),
    );
    const told = other.blocks.ofTask('other');
    other.background.with({ name: 'other' }).add(() => spin(200));
    expect(await told).toMatchObject({ cause: 'task', stack: [], call: undefined });
  });

  it('is reported to those whose threshold it exceeds', async () => {
    const [quick, slow] = [watch(), watch({ watchdog: { threshold: 1_000 } })];
    await Promise.all([quick, slow].map(({ background }) => background.add(() => {}).settled));
    setTimeout(() => spin(200), 1);
    await quick.blocks.until(({ cause }) => cause === 'other');
    expect(slow.blocks.events).toEqual([]);
  });
});

describe('what blocks without being a task', () => {
  keepWatching();

  it.each(expresses)('is reported as the request if it is a handler of $name', async ({ express: version }) => {
    const { background, blocks } = watch();
    const app = version();
    const api = version.Router();
    app.use(background);
    api.get('/slow/:id', function slowHandler(_req, res) {
      spin(200);
      res.end();
    });
    app.use('/api', api);
    expect(
      await blockUntilSampled(blocks, isOfRequest, () => request(app).get('/api/slow/7?draft=1').expect(200)),
    ).toMatchObject({
      task: undefined,
      request: { method: 'GET', route: '/api/slow/:id' },
      stack: startsWith(SPINNING, { function: 'slowHandler', file: '__tests__/watchdog.test.ts' }),
    });
  });

  it('is reported as the request if it is a middleware, by the path', async () => {
    const { app, blocks } = watch();
    app.use((_req, _res, next) => {
      spin(200);
      next();
    });
    const { request: blocked } = await blockUntilSampled(blocks, isOfRequest, () =>
      request(app).get('/nowhere/7?draft=1').expect(404),
    );
    expect(blocked).toEqual({ method: 'GET', route: '/nowhere/7' });
  });

  it('is reported as other code if it is an interval, by the function and the line', async () => {
    const { background, blocks } = watch();
    await background.add(() => {}).settled;
    const event = await blockUntilSampled(blocks, goesThrough('everyNowAndThen'), () => {
      const timer = setInterval(function everyNowAndThen() {
        clearInterval(timer);
        spin(200);
      }, 5);
    });
    expect(event).toMatchObject({
      cause: 'other',
      task: undefined,
      request: undefined,
      stack: startsWith(SPINNING, { function: 'everyNowAndThen' }),
    });
  });
});

describe('a call that is known to block', () => {
  keepWatching();

  const directory = mkdtempSync(join(tmpdir(), 'background-tasks-watchdog-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  let json: string;
  beforeAll(() => {
    json = jsonOf(400);
  });

  it('is named where it is of node:crypto', async () => {
    const { background, blocks } = watch();
    const tenThousandMs = durationOf(() => derive(10_000));
    const event = await blockUntilSampled(blocks, isOfTask('hash'), () =>
      background.add(function hash() {
        derive(Math.ceil((10_000 * 300) / tenThousandMs));
      }),
    );
    expect(event).toMatchObject({
      call: 'pbkdf2Sync of node:crypto',
      stack: startsWith({ function: 'derive', file: WORK, line: lineWith('watchdog-work.ts', 'return pbkdf2Sync') }),
    });
  });

  it('is named where it is of node:zlib', async () => {
    const { background, blocks } = watch();
    const megabyte = randomBytes(2 ** 20);
    pack(megabyte);
    const megabytes = Math.ceil(300 / durationOf(() => pack(megabyte)));
    const bytes = Buffer.concat(Array(megabytes).fill(megabyte));
    const event = await blockUntilSampled(blocks, isOfTask('archive'), () =>
      background.add(function archive() {
        pack(bytes);
      }),
    );
    expect(event).toMatchObject({
      call: 'gzipSync of node:zlib',
      stack: startsWith({ function: 'pack', line: lineWith('watchdog-work.ts', 'return gzipSync') }),
    });
  });

  it('is named where it is of node:child_process', async () => {
    const { background, blocks } = watch();
    const event = await blockUntilSampled(blocks, isOfTask('convert'), () =>
      background.add(function convert() {
        execFileSync(process.execPath, ['-e', 'setTimeout(() => {}, 200)']);
      }),
    );
    expect(event).toMatchObject({
      call: 'execFileSync of node:child_process',
      stack: startsWith({ function: 'convert' }),
    });
  });

  const onPosix = process.platform === 'win32' ? it.skip : it;
  onPosix('is named where it is of node:fs', async () => {
    const { background, blocks } = watch();
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const event = await blockUntilSampled(blocks, isOfTask('load'), () => {
      const writer = spawn('sh', ['-c', 'sleep 0.3; echo written > "$0"', pipe]);
      const written = once(writer, 'exit');
      atEnd(() => written);
      background.add(function load() {
        read(pipe);
      });
    });
    expect(event).toMatchObject({
      call: 'readFileSync of node:fs',
      stack: startsWith({ function: 'read', line: lineWith('watchdog-work.ts', 'return readFileSync') }),
    });
  });

  it('is named where it is a regular expression', async () => {
    const { background, blocks } = watch();
    const text = (length: number): string => `${'a'.repeat(length)}!`;
    const LENGTH = 18;
    looksLikeLetters(text(LENGTH));
    looksLikeLetters(text(LENGTH));
    // Each letter doubles the time.
    const more = Math.ceil(Math.log2(400 / durationOf(() => looksLikeLetters(text(LENGTH)))));
    const event = await blockUntilSampled(blocks, isOfTask('validate'), () =>
      background.add(function validate() {
        looksLikeLetters(text(LENGTH + more));
      }),
    );
    expect(event).toMatchObject({
      call: 'a regular expression',
      stack: startsWith({ function: 'looksLikeLetters', line: lineWith('watchdog-work.ts', 'return /^') }),
    });
  });

  it('is named where it is JSON.parse, when the code goes on behind it', async () => {
    const { background, blocks } = watch();
    const event = await blockUntilSampled(blocks, isOfTask('addUp'), () =>
      background.add(function addUp() {
        sumOf(json);
      }),
    );
    expect(event).toMatchObject({
      call: 'JSON.parse',
      stack: startsWith({ function: 'sumOf', line: lineWith('watchdog-work.ts', 'JSON.parse(json)') }),
    });
  });

  it('is not named where another call stands between it and the place where the code goes on', async () => {
    const { background, blocks } = watch();
    const readAll: (text: string) => { id: number }[] = JSON.parse;
    const event = await blockUntilSampled(blocks, isOfTask('innocent'), () =>
      background.add(function innocent() {
        let sum = JSON.parse('1') as number;
        const rows = readAll(json);
        for (const { id } of rows) sum += id;
        return sum;
      }),
    );
    expect(event.stack[0]?.function).toBe('innocent');
    expect(event.call).toBeUndefined();
  });
});

describe('many short pieces of work at once', () => {
  keepWatching();

  it('is reported as load if it is tasks, naming none', async () => {
    const { app, background, blocks } = watch({ order: 'parallel' });
    app.post('/many', (_req, res) => {
      for (let count = 0; count < 300; count += 1) res.locals.backgroundTasks.add(() => spin(1));
      res.end();
    });
    await request(app).post('/many');
    await blocks.until(({ cause }) => cause === 'load');
    expect(background.stats().outcomes.completed).toBe(300);
    expect(blocks.tasks).toEqual([]);
    expect(blocks.events.find(({ cause }) => cause === 'load')).toMatchObject({ request: undefined, stack: [] });
  });

  it('is reported as load if it is tasks that go on after an await', async () => {
    const { background, blocks } = watch();
    const { opened, open } = makeGate();
    for (let count = 0; count < 300; count += 1) {
      background.add(async () => {
        await opened;
        await null;
        spin(1);
      });
    }
    open();
    await blocks.until(({ cause }) => cause === 'load');
    await background.idle();
    expect(blocks.tasks).toEqual([]);
  });

  it('is reported as load if it is requests, blaming no handler', async () => {
    const { app, blocks } = watch();
    app.get('/short', function shortHandler(_req, res) {
      spin(1);
      res.end();
    });
    const client = await RawClient.connect(await listen(createServer(app)));
    const requests = 300;
    client.send(getText('/short').repeat(requests));
    const isOfThese = ({ cause, stack }: BlockedEvent): boolean =>
      cause === 'load' || stack.some((frame) => frame.function === 'shortHandler');
    expect(await blocks.until(isOfThese)).toMatchObject({ cause: 'load', request: undefined, stack: [] });
  });

  it('blames none of them if it is timers that share a function', async () => {
    const { background, blocks } = watch();
    await background.add(() => {}).settled;
    for (let count = 0; count < 300; count += 1) {
      setTimeout(function shortTimer() {
        spin(1);
      }, 5);
    }
    // The number of timers is not known: if the sample came late, the cause is "something".
    const isOfThese = ({ cause, stack }: BlockedEvent): boolean =>
      cause === 'load' || cause === 'other' || stack.some((frame) => frame.function === 'shortTimer');
    expect(await blocks.until(isOfThese)).toMatchObject({ task: undefined, request: undefined, stack: [] });
  });
});

describe('the watchdog', () => {
  keepWatching();

  it('reports a block outside the async context of any request, though one has started it', async () => {
    const storage = new AsyncLocalStorage<string>();
    // One with a threshold below all others restarts it.
    const background = makeBackground({ watchdog: { threshold: THRESHOLD / 2 } });
    const seen: unknown[] = [];
    background.on('blocked', () => seen.push(storage.getStore()));
    const blocks = listenTo(background);
    storage.run('the first request', () => background.add(spin, 4 * THRESHOLD));
    await blocks.ofTask('spin');
    expect(seen).toEqual(new Array(seen.length).fill(undefined));
  });

  it('keeps no instance in memory that nobody else holds, though it was not closed', async () => {
    await untilCollected(await loggerOfDropped());
  });
});

async function loggerOfDropped(): Promise<WeakRef<object>> {
  const logger = { error() {}, warn() {}, info() {}, debug() {} };
  await backgroundTasks({ logger, watchdog: { threshold: THRESHOLD } }).add(() => {}).settled;
  return new WeakRef(logger);
}

/** After this, the work of a test's preparation is no part of the block that the test makes. */
function untilHeartbeat(): Promise<void> {
  return work(THRESHOLD);
}

/** In milliseconds of CPU time, as the watchdog counts it: by the clock, a busy machine makes it ten times as long. */
function durationOf(call: () => unknown): number {
  const ENOUGH = 50;
  const begin = process.cpuUsage();
  let calls = 0;
  let usedMs = 0;
  while (usedMs < ENOUGH) {
    call();
    calls += 1;
    const { user, system } = process.cpuUsage(begin);
    usedMs = (user + system) / 1_000;
  }
  return usedMs / calls;
}

/** The innermost frames, one by one: a matcher of the whole list would have to know what called them. */
function startsWith(...frames: readonly object[]): unknown {
  return Object.fromEntries(frames.entries());
}
