import { afterEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { type BackgroundTasks, backgroundTasks, blocking, move, type Outcome } from 'express-background-tasks';
import { type TaskMatchers, taskMatchers, watchTasks } from 'express-background-tasks/testing';
import request from 'supertest';

declare module 'expect' {
  interface Matchers<R> extends TaskMatchers<R> {}
}

expect.extend(taskMatchers);

interface Arithmetic {
  add(a: number, b: number): number;
  sum(numbers: readonly number[]): number;
  append(list: number[], value: number): number[];
  appendAtSecond(list: number[], value: number): number[];
  fail(): never;
  makeFunction(): () => number;
  hexOf(bytes: Uint8Array): string;
  bytesOf(hex: string): Uint8Array;
}

/** Such an argument is moved to its thread, in bytes. */
const LARGE = 65_536;

const moduleUrl = new URL('./fixtures/arithmetic.cjs', import.meta.url);
const arithmetic = blocking<Arithmetic>(moduleUrl);
const sent: string[] = [];
async function sendWelcome(address: string): Promise<string> {
  sent.push(address);
  return 'sent';
}

let background: BackgroundTasks;

function application(): express.Express {
  background = backgroundTasks({ logger: false });
  const app = express();
  app.use(background);
  app.post('/users', (_req, res) => {
    res.locals.backgroundTasks.add(sendWelcome, 'ada@example.com');
    res.locals.backgroundTasks.add(arithmetic.add, 1, 2);
    res.status(201).end();
  });
  return app;
}

afterEach(async () => {
  sent.length = 0;
  await background.close();
});

describe('inline mode', () => {
  it('runs the tasks of a request without a thread, and knows what they were', async () => {
    const app = application();
    const tasks = watchTasks(background);
    await request(app).post('/users').expect(201);
    await tasks.idle();

    expect(sent).toEqual(['ada@example.com']);
    expect(tasks.added.map(({ name, args }) => [name, args])).toEqual([
      ['sendWelcome', ['ada@example.com']],
      ['add', [1, 2]],
    ]);
    expect(await tasks.outcomesOf(arithmetic.add)).toMatchObject([
      { state: 'completed', value: 3, executor: 'thread' },
    ]);
    expect(background.stats().executors.thread.threads).toBe(0);
  });

  it('copies the arguments of blocking tasks, as a thread would', async () => {
    application();
    const tasks = watchTasks(background);
    const list = [1];
    background.add(arithmetic.append, list, 2);
    expect(await tasks.outcomesOf(arithmetic.append)).toMatchObject([{ value: [1, 2] }]);
    expect(list).toEqual([1]);
  });

  it('copies them for each attempt, as on the way to a thread', async () => {
    application();
    watchTasks(background);
    const list = background.with({ retry: { attempts: 2, delay: 0 } });
    expect(await list.add(arithmetic.appendAtSecond, [1], 2).settled).toMatchObject({ attempts: 2, value: [1, 2] });
  });

  it('refuses what a thread would refuse', () => {
    application();
    watchTasks(background);
    expect(() => background.add(arithmetic.sum, [1, (() => 2) as never])).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_NOT_CLONEABLE' }),
    );
  });

  it('loses a result that a thread would lose', async () => {
    application();
    const tasks = watchTasks(background);
    background.add(arithmetic.makeFunction);
    expect(await tasks.outcomesOf(arithmetic.makeFunction)).toMatchObject([{ state: 'completed', value: undefined }]);
  });

  it.each([
    ['process', 'cafe', true],
    ['thread', '202,254', false],
  ] as const)('gives and takes bytes as a %s would', async (executor, text, isBuffer) => {
    background = backgroundTasks({ logger: false, mode: 'inline' });
    const { hexOf, bytesOf } = blocking<Arithmetic>(moduleUrl, { executor });
    expect(await background.add(hexOf, Buffer.from('cafe', 'hex')).settled).toMatchObject({ value: text });
    const { value } = await background.add(bytesOf, 'cafe').settled;
    expect([Buffer.isBuffer(value), ...(value as Uint8Array)]).toEqual([isBuffer, 0xca, 0xfe]);
  });

  it('can be chosen by the option, too', async () => {
    background = backgroundTasks({ logger: false, mode: 'inline' });
    const outcome: Outcome<number> = await background.add(arithmetic.add, 2, 2).settled;
    expect(outcome.value).toBe(4);
    expect(background.stats().executors.thread.threads).toBe(0);
  });
});

describe.each(['inline', 'record'] as const)('close() in %s mode', (mode) => {
  it('ends the threads and processes that are kept all the same', async () => {
    background = backgroundTasks({ logger: false, mode, pool: { minThreads: 1 }, processes: { minProcesses: 1 } });
    expect(background.stats().executors).toMatchObject({ thread: { threads: 1 }, process: { processes: 1 } });
    await background.close();
    expect(background.stats().executors).toMatchObject({ thread: { threads: 0 }, process: { processes: 0 } });
  });

  it('ends those that were started before a watcher chose it', async () => {
    application();
    await background.add(arithmetic.add, 1, 2).settled;
    expect(background.stats().executors.thread.threads).toBe(1);
    watchTasks(background, mode);
    await background.close();
    expect(background.stats().executors.thread.threads).toBe(0);
  });
});

describe('record mode', () => {
  it('keeps what was added and runs none of it', async () => {
    const app = application();
    const tasks = watchTasks(background, 'record');
    await request(app).post('/users').expect(201);
    background.add(sendWelcome, 'grace@example.com');
    await tasks.idle();

    expect(sent).toEqual([]);
    expect(tasks.of(sendWelcome).map(({ args }) => args)).toEqual([['ada@example.com'], ['grace@example.com']]);
    expect(tasks).toHaveSkipped(arithmetic.add, 1, 2);
  });
});

describe('run mode', () => {
  it('watches tasks that run in real threads', async () => {
    application();
    const tasks = watchTasks(background, 'run');
    background.add(arithmetic.add, 3, 4);
    expect(await tasks.outcomesOf(arithmetic.add)).toMatchObject([{ value: 7 }]);
    expect(background.stats().executors.thread.threads).toBe(1);
  });

  it.each([
    ['large', (bytes: Uint8Array) => bytes],
    ['moved', move],
  ])('keeps the bytes of a %s buffer when its thread has them', async (_kind, given) => {
    application();
    const tasks = watchTasks(background, 'run');
    background.add(arithmetic.hexOf, given(new Uint8Array(LARGE).fill(7)));
    await tasks.idle();
    expect(tasks).toHaveCompleted(arithmetic.hexOf, expect.objectContaining({ byteLength: LARGE, [LARGE - 1]: 7 }));
  });

  it('keeps what is moved as an instance of the class that the test knows', async () => {
    application();
    const tasks = watchTasks(background, 'run');
    background.add(arithmetic.hexOf as never, move(new Float64Array(8)) as never);
    await tasks.idle();
    expect(tasks.added.map(({ args }) => args)).toEqual([[expect.any(Float64Array)]]);
  });

  it('keeps the bytes that are moved beside a port', async () => {
    application();
    const tasks = watchTasks(background, 'run');
    const { port1, port2 } = new MessageChannel();
    background.add(arithmetic.append, move(port1) as never, move(new Uint8Array(8)) as never);
    await tasks.idle();
    port2.close();
    expect(tasks).toHaveFailed(arithmetic.append, expect.any(MessagePort), new Uint8Array(8));
  });
});

describe('a watcher', () => {
  it('recognises a blocking task by its module and export, whoever made the reference', async () => {
    application();
    const tasks = watchTasks(background);
    background.add(blocking<Arithmetic>(moduleUrl).add, 1, 1);
    await tasks.idle();
    expect(tasks).toHaveCompleted(arithmetic.add, 1, 1);
    // A task of the same name in another module is another one.
    const others = blocking<Pick<Arithmetic, 'add'>>(new URL('./fixtures/blocking-tasks.mjs', import.meta.url));
    expect(tasks).not.toHaveAdded(others.add);
  });

  it('forgets on clear, and gives the instance its mode back on restore', async () => {
    application();
    const tasks = watchTasks(background, 'record');
    background.add(sendWelcome, 'ada@example.com');
    tasks.clear();
    expect(tasks.added).toEqual([]);
    tasks.restore();
    await background.add(sendWelcome, 'grace@example.com').settled;
    expect(sent).toEqual(['grace@example.com']);
    expect(tasks.added).toEqual([]);
  });

  it('a watcher that is restored twice does not affect a newer one', () => {
    application();
    const first = watchTasks(background, 'record');
    first.restore();
    const second = watchTasks(background, 'record');
    first.restore();
    background.add(sendWelcome, 'ada@example.com');
    expect(second).toHaveSkipped(sendWelcome);
  });

  it.each([
    ['the first first', [0, 1, 2]],
    ['the last first', [2, 1, 0]],
    ['the second first', [1, 2, 0]],
  ])('is one of several that may be restored in any order: %s', async (_order, order) => {
    application();
    const watches = (['inline', 'record', 'inline'] as const).map((mode) => ({
      mode,
      tasks: watchTasks(background, mode),
    }));
    const open = [...watches];
    const addOne = async () => {
      for (const { tasks } of watches) tasks.clear();
      const { state } = await background.add(arithmetic.add, 1, 2).settled;
      const { threads } = background.stats().executors.thread;
      return { state, threads, seenBy: watches.filter(({ tasks }) => tasks.added.length === 1) };
    };
    for (const index of order) {
      const state = open.at(-1)?.mode === 'record' ? 'skipped' : 'completed';
      expect(await addOne()).toEqual({ state, threads: 0, seenBy: open });
      const ended = watches[index] as (typeof watches)[number];
      ended.tasks.restore();
      open.splice(open.indexOf(ended), 1);
    }
    expect(await addOne()).toEqual({ state: 'completed', threads: 1, seenBy: [] });
  });

  it('is made of what backgroundTasks() returned, and of nothing else', () => {
    application();
    const coded = expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION' });
    expect(() => watchTasks(express() as never)).toThrow(coded);
    expect(() => watchTasks(undefined as never)).toThrow(coded);
    expect(() => watchTasks({ env: { TOKEN: 'hunter2' } } as never)).toThrow(/got an object\.$/);
    expect(() => watchTasks(background, 'fast' as never)).toThrow(coded);
  });
});

describe('the matchers', () => {
  it('pass and fail as they read', async () => {
    application();
    const tasks = watchTasks(background);
    background.add(sendWelcome, 'ada@example.com');
    background.add(arithmetic.fail);
    await tasks.idle();

    expect(tasks).toHaveAdded(sendWelcome);
    expect(tasks).toHaveAdded(sendWelcome, expect.stringContaining('@'));
    expect(tasks).toHaveCompleted(sendWelcome, 'ada@example.com');
    expect(tasks).toHaveFailed(arithmetic.fail);
    expect(tasks).not.toHaveAdded(sendWelcome, 'grace@example.com');
    expect(tasks).not.toHaveCompleted(arithmetic.fail);
    expect(tasks).not.toHaveSkipped(sendWelcome);
  });

  it('compare maps and sets by what is in them, wherever they are in the arguments', () => {
    application();
    const tasks = watchTasks(background, 'record');
    const photos = blocking<{ tag(photo: object): void }>(moduleUrl);
    const tagged = (...tags: string[]) => ({ tags: new Map([['dunes.jpg', new Set(tags)]]) });
    background.add(photos.tag, tagged('sand', 'moon'));

    expect(tasks).toHaveAdded(photos.tag, tagged('moon', 'sand'));
    expect(tasks).not.toHaveAdded(photos.tag, tagged('sand', 'sea'));
    expect(tasks).not.toHaveAdded(photos.tag, tagged('sand'));
    expect(tasks).not.toHaveAdded(photos.tag, { tags: new Map() });
  });

  it('say what was expected and what was added', async () => {
    application();
    const tasks = watchTasks(background);
    background.add(sendWelcome, 'ada@example.com');
    await tasks.idle();
    expect(() => expect(tasks).toHaveAdded(sendWelcome, 'grace@example.com')).toThrow(
      /Expected task sendWelcome\("grace@example.com"\) to have been added\.[\s\S]*sendWelcome\("ada@example.com"\): completed/,
    );
    expect(() => expect(tasks).not.toHaveAdded(sendWelcome)).toThrow(
      /Expected task sendWelcome not to have been added/,
    );
  });

  it('show each call on a line of its own, with its arguments as the test runner shows them', () => {
    application();
    const tasks = watchTasks(background, 'record');
    const photos = blocking<{ tag(photo: object): void }>(moduleUrl);
    background.add(photos.tag, { sizes: [1, 2, 3, 4, 5, 6, 7, 8], taken: { by: { name: 'Ada\nLovelace' } } });
    const expected = { sizes: expect.any(Array), taken: expect.objectContaining({ by: { name: 'Grace' } }) };
    expect(() => expect(tasks).toHaveCompleted(photos.tag, expected)).toThrow(
      [
        'Expected task tag({"sizes": Any<Array>, "taken": ObjectContaining {"by": {"name": "Grace"}}}) to have completed.',
        '',
        'Added were:',
        '  tag({"sizes": [1, 2, 3, 4, 5, 6, 7, 8], "taken": {"by": {"name": "Ada Lovelace"}}}): skipped',
      ].join('\n'),
    );
  });

  it.each([
    ['toHaveAdded', 'to have been added'],
    ['toHaveCompleted', 'to have completed'],
    ['toHaveFailed', 'to have failed'],
    ['toHaveSkipped', 'to have been skipped'],
  ] as const)('%s says that a task was expected %s', (matcher, words) => {
    application();
    const tasks = watchTasks(background);
    expect(() => expect(tasks)[matcher](sendWelcome)).toThrow(
      `Expected task sendWelcome ${words}.\n\nAdded were:\n  no task at all`,
    );
  });

  it('say why a task has failed that should have completed', async () => {
    application();
    const tasks = watchTasks(background);
    background.add(arithmetic.fail);
    await tasks.idle();
    expect(() => expect(tasks).toHaveCompleted(arithmetic.fail)).toThrow(/fail\(\): failed, RangeError: out of range/);
    expect(tasks.added[0]?.error).toBe((await tasks.added[0]?.handle.settled)?.error);
  });

  it.each<[string, () => unknown, string]>([
    ['the middleware', () => background, 'function backgroundTasksMiddleware'],
    ['nothing', () => undefined, 'undefined'],
    ['a list', () => [], 'an array'],
  ])('say what to expect something of where they are given %s', (_what, given, got) => {
    application();
    const coded = expect.objectContaining({
      code: 'ERR_BACKGROUND_OPTION',
      message: `Expected toHaveAdded() to be called on what watchTasks() returned, got ${got}: write const tasks = watchTasks(background) before the tasks are added, and then expect(tasks).toHaveAdded(…).`,
    });
    expect(() => expect(given()).toHaveAdded(sendWelcome)).toThrow(coded);
    expect(() => expect(given()).not.toHaveAdded(sendWelcome)).toThrow(coded);
  });
});
