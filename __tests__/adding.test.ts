/** Adding tasks, in a request and outside of one, and what is no task. */
import { describe, expect, it } from '@jest/globals';
import {
  type BackgroundTasks,
  blocking,
  currentTask,
  defineTask,
  type Outcome,
  type TaskHandle,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { bareHttp, inRequest, serve } from './support/servers.ts';

expectNoProcessFaults();

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

describe('with()', () => {
  it('gives a task a name and a policy, which win over its own and over the middleware', async () => {
    const background = makeBackground({ retry: { attempts: 5, delay: 0, jitter: 0 } });
    const defined = defineTask(
      () => {
        throw new Error('again');
      },
      { name: 'defined', retry: { attempts: 3 } },
    );
    const plain = (): void => {
      throw new Error('again');
    };
    const handles = await inRequest(background, (tasks) => [
      tasks.add(plain),
      tasks.add(defined),
      tasks.with({ name: 'nearest', retry: { attempts: 2 } }).add(defined),
      tasks.with({ retry: { attempts: 1 } }).add(plain),
    ]);
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes.map(({ name, attempts }) => [name, attempts])).toEqual([
      ['plain', 5],
      ['defined', 3],
      ['nearest', 2],
      ['plain', 1],
    ]);
  });

  it('can be kept and used again, and does not affect tasks that are added without it', async () => {
    const background = makeBackground();
    const handles = await inRequest(background, (tasks) => {
      const onFailure = tasks.with({ when: 'failure' });
      return [onFailure.add(() => {}), tasks.add(() => {}), onFailure.add(() => {})];
    });
    await background.idle();
    expect(handles.map(({ state }) => state)).toEqual(['skipped', 'completed', 'skipped']);
  });

  it('ends a task at the timeout that it sets', async () => {
    const background = makeBackground();
    const [handle] = await inRequest(background, (tasks) => [
      tasks.with({ timeout: 20 }).add(
        () =>
          new Promise((_resolve, reject) => {
            const signal = currentTask()?.signal;
            signal?.addEventListener('abort', () => reject(signal.reason));
          }),
      ),
    ]);
    expect(await handle?.settled).toMatchObject({ state: 'timed-out', error: { code: 'ERR_BACKGROUND_TIMEOUT' } });
  });

  it.each([
    ['an unknown option', { timeuot: 5 }],
    ['a value of the wrong type', { timeout: 'soon' }],
    ['an unknown `when`', { when: 'sometimes' }],
  ])('throws for %s before anything is added', async (_what, options) => {
    const background = makeBackground();
    const bad = options as object;
    await inRequest(background, (tasks) => {
      expect(() => tasks.with(bad)).toThrow(code('ERR_BACKGROUND_OPTION'));
      expect(tasks.size).toBe(0);
    });
    expect(() => background.with(bad)).toThrow(code('ERR_BACKGROUND_OPTION'));
    expect(background.stats().added).toBe(0);
  });

  it('keeps the options as they were when it was called', async () => {
    const background = makeBackground();
    const options = { name: 'before' };
    const adder = background.with(options);
    options.name = 'after';
    expect(adder.add(() => {}).name).toBe('before');
  });
});

describe('add()', () => {
  it('passes the arguments, as they are', async () => {
    const background = makeBackground();
    const object = { deep: {} };
    const [handle] = await inRequest(background, (tasks) => [
      tasks.add((...args: unknown[]) => args, 1, object, undefined),
    ]);
    const outcome = (await handle?.settled) as Outcome<unknown[]>;
    expect(outcome.value).toEqual([1, object, undefined]);
    expect(outcome.value?.[1]).toBe(object);
  });
});

describe('a list', () => {
  it('knows its size, and gives its handles in the order added, settled ones included', async () => {
    const background = makeBackground();
    const [tasks, handles] = await inRequest(background, (list) => {
      expect(list.size).toBe(0);
      expect([...list]).toEqual([]);
      const added = [list.add(() => 'a'), list.with({ when: 'failure' }).add(() => 'b'), list.add(() => 'c')];
      expect(list.size).toBe(3);
      return [list, added] as const;
    });
    await background.idle();
    const late = tasks.add(() => 'd');
    await late.settled;
    expect(tasks.size).toBe(4);
    const listed = [...tasks];
    expect(listed).toHaveLength(4);
    for (const [index, handle] of [...handles, late].entries()) expect(listed[index]).toBe(handle);
    expect(listed.map(({ state }) => state)).toEqual(['completed', 'skipped', 'completed', 'completed']);
  });

  it.each(['add', 'with'] as const)('says what to write where its `%s` is called without it', async (method) => {
    const background = makeBackground();
    await inRequest(background, (list) => {
      const { [method]: alone } = list as unknown as Record<typeof method, (argument: unknown) => unknown>;
      for (const call of [() => alone(() => {}), () => alone.call({}, () => {})]) {
        const error = thrownBy(call);
        expect(error.code).toBe('ERR_BACKGROUND_NO_REQUEST');
        expect(error.message).toBe(
          `Expected ${method}() to be called on the list of a response, got a call without it: write res.locals.backgroundTasks.${method}(…).`,
        );
      }
    });
  });
});

describe('outside a response', () => {
  it('background.add() starts the task at once, whatever `when` says', async () => {
    const background = makeBackground({ when: 'failure' });
    const ran: string[] = [];
    const handle = background.add((word: string) => ran.push(word), 'at once');
    expect(ran).toEqual(['at once']);
    expect(await handle.settled).toMatchObject({ state: 'completed', value: 1 });
  });

  it('background.with() gives options, and tasks run side by side', async () => {
    const background = makeBackground();
    const release = makeGate();
    const adder = background.with({ name: 'detached' });
    const handles = [adder.add(() => release.opened), adder.add(() => release.opened)];
    expect(handles.map(({ name, state }) => [name, state])).toEqual([
      ['detached', 'running'],
      ['detached', 'running'],
    ]);
    release.open();
    await background.idle();
    expect(handles.map(({ state }) => state)).toEqual(['completed', 'completed']);
  });

  it('background.add() succeeds in a listener of `settled`, though the backlog was full until that task settled', async () => {
    const background = makeBackground({ maxBacklog: 1 });
    const followed: TaskHandle[] = [];
    const seen: unknown[] = [];
    background.on('settled', ({ name }) => {
      const { backlog, settled } = background.stats();
      seen.push([name, backlog.size, settled]);
      if (name === 'first') followed.push(background.with({ name: 'follower' }).add(async () => 'followed'));
    });
    background.with({ name: 'first' }).add(async () => {});
    expect(thrownBy(() => background.add(() => {})).code).toBe('ERR_BACKGROUND_FULL');
    await background.idle();
    expect(followed.map(({ state }) => state)).toEqual(['completed']);
    expect(seen).toEqual([
      ['first', 0, 1],
      ['follower', 0, 2],
    ]);
  });

  it.each<[string, (background: BackgroundTasks, addNext: () => void) => () => void]>([
    ['each by the one before', (_background, addNext) => addNext],
    [
      'each by a listener, when the one before has settled',
      (background, addNext) => {
        background.on('settled', addNext);
        return () => {};
      },
    ],
  ])('background.add() may add thousands one out of the other: %s', async (_how, makeTask) => {
    const background = makeBackground();
    let left = 5_000;
    const task = makeTask(background, () => {
      left -= 1;
      if (left > 0) background.add(task);
    });
    background.add(task);
    await background.idle();
    expect(background.stats()).toMatchObject({ added: 5_000, outcomes: { completed: 5_000 } });
  });

  it('background.add() throws nothing that the task throws', async () => {
    const background = makeBackground();
    const error = new Error('thrown at once');
    const handle = background.add(() => {
      throw error;
    });
    expect(await handle.settled).toMatchObject({ state: 'failed', error });
  });
});

describe('a value that is no task', () => {
  const cases: [string, unknown, RegExp][] = [
    ['undefined', undefined, /import/],
    ['null', null, /null/],
    ['a string', 'sendMail', /sendMail/],
    ['a number', 42, /42/],
    ['an empty object', {}, /\{\}/],
    ['a plain object', { name: 'x', module: 'file:///x.mjs', export: 'x' }, /object/],
    ['an instance of a class', new (class Mailer {})(), /Mailer/],
    ['a promise', Promise.resolve('done'), /called already/],
    ['an array of a function', [() => {}], /object/],
    ['a generator function', function* rows() {}, /rows.*generator/],
    ['an asynchronous generator function', async function* rows() {}, /rows.*generator/],
    [
      'the module of blocking() in place of an export',
      blocking(fixture('thread-named.cjs')),
      /object.*name one of its exports/,
    ],
  ];

  it.each(cases)('is refused by add, outside a response: %s', (_what, task, message) => {
    const background = makeBackground();
    for (const adder of [background, background.with({ name: 'named' })]) {
      const error = thrownBy(() => adder.add(task as never));
      expect(error.code).toBe('ERR_BACKGROUND_TASK');
      expect(error.message).toMatch(message);
    }
    expect(background.stats()).toMatchObject({ added: 0, backlog: { size: 0 } });
  });

  it('is refused in the handler, before the response, and what was added before stays', async () => {
    const background = makeBackground();
    const codes: unknown[] = [];
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        const { backgroundTasks: list } = res.locals;
        list.add(() => 'before');
        for (const [, task] of cases) codes.push(thrownBy(() => list.add(task as never)).code);
        list.add(() => 'after');
        expect(list.size).toBe(2);
        res.end();
      }),
    );
    expect((await request(port)).status).toBe(200);
    await background.idle();
    expect(codes).toEqual(cases.map(() => 'ERR_BACKGROUND_TASK'));
    expect(background.stats().outcomes.completed).toBe(2);
  });

  it('is refused by defineTask()', () => {
    for (const [, task] of cases) {
      expect(thrownBy(() => defineTask(task as never, {})).code).toBe('ERR_BACKGROUND_TASK');
    }
  });

  it('may be a rejected promise: its rejection is left to the code that made it', async () => {
    const background = makeBackground();
    const promise = Promise.reject(new Error('the call itself failed'));
    expect(thrownBy(() => background.add(promise as never)).code).toBe('ERR_BACKGROUND_TASK');
    await expect(promise).rejects.toThrow('the call itself failed');
  });
});
