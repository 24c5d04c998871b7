/** Adding tasks, in a request and outside of one: options, the ambient list, the current task, and what is reported. */
import diagnostics from 'node:diagnostics_channel';
import { describe, expect, it } from '@jest/globals';
import {
  addBackgroundTask,
  type BackgroundTaskEvents,
  type BackgroundTasks,
  currentTask,
  defineTask,
  type Outcome,
  type TaskHandle,
  type TaskList,
} from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { SENT, thrownBy } from './support/outcomes.ts';
import { bareHttp, errorAnswering, inRequest, type Middleware, serve } from './support/servers.ts';
import { work } from './support/time.ts';

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

  it.each([[undefined], [null], ['name'], [{}], [Promise.resolve()]])(
    'throws for %p, and counts nothing',
    async (task) => {
      const background = makeBackground();
      await inRequest(background, (tasks) => {
        expect(() => tasks.add(task as never)).toThrow(code('ERR_BACKGROUND_TASK'));
        expect(tasks.size).toBe(0);
      });
      expect(() => background.add(task as never)).toThrow(code('ERR_BACKGROUND_TASK'));
      expect(background.stats()).toMatchObject({ added: 0, backlog: { size: 0 } });
    },
  );
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

  it('background.add() throws nothing that the task throws', async () => {
    const background = makeBackground();
    const error = new Error('thrown at once');
    const handle = background.add(() => {
      throw error;
    });
    expect(await handle.settled).toMatchObject({ state: 'failed', error });
  });
});

describe('addBackgroundTask()', () => {
  /** Code without the request, some awaits and other async resources away from the handler. */
  async function service(names: string[], name: string): Promise<TaskHandle> {
    await work(1);
    return new Promise((resolve) => {
      setImmediate(() => {
        process.nextTick(() => resolve(addBackgroundTask((word: string) => names.push(word), name)));
      });
    });
  }

  it.each([...errorAnswering, bareHttp])(
    'adds to the list of the request from deep code, under $name',
    async (framework) => {
      const background = makeBackground({ ambient: true });
      const ran: string[] = [];
      const listener = framework.listener([background], async (req, res) => {
        const handle = await service(ran, req.url as string);
        res.end(`${handle.state} ${[...res.locals.backgroundTasks].includes(handle)}`);
      });
      const port = await serve(listener);
      const paths = ['/1', '/2', '/3'];
      const answers = await Promise.all(paths.map((path) => request(port, { path })));
      await background.idle();
      for (const { body } of answers) expect(body).toBe('waiting true');
      expect(ran.sort()).toEqual(paths);
    },
  );

  it('adds to the list of its own request, when requests are pipelined', async () => {
    const background = makeBackground({ ambient: true });
    const lists = new Map<string, TaskList>();
    const listener = bareHttp.listener([background], async (req, res) => {
      lists.set(req.url as string, res.locals.backgroundTasks);
      await service([], req.url as string);
      res.end('answered.');
    });
    const client = await RawClient.connect(await serve(listener));
    client.send(getText('/1') + getText('/2'));
    await client.until(/answered\..*answered\./s);
    await background.idle();
    expect([...lists.values()].map(({ size }) => size)).toEqual([1, 1]);
  });

  it('in a task, adds to the list that the task was added to', async () => {
    const background = makeBackground({ ambient: true });
    const ran: string[] = [];
    const tasks = await inRequest(background, (list) => {
      list.add(async () => {
        await service(ran, 'child');
      });
      return list;
    });
    await background.idle();
    expect(ran).toEqual(['child']);
    expect(tasks.size).toBe(2);
  });

  it('adds to the nearest of two instances', async () => {
    const outer = makeBackground({ ambient: true });
    const inner = makeBackground({ ambient: true });
    const ran: string[] = [];
    const listener = bareHttp.listener([outer, inner], async (_req, res) => {
      await service(ran, 'inner');
      res.end();
    });
    await request(await serve(listener));
    await inner.idle();
    expect(ran).toEqual(['inner']);
    expect(outer.stats().added).toBe(0);
  });

  it('finds the list again behind what goes on in a listener of the request, if mounted a second time', async () => {
    const background = makeBackground({ ambient: true });
    const arrived = makeGate();
    const upload: Middleware = (req, _res, next) => {
      req.resume().on('end', () => next());
      arrived.open();
    };
    const sizes: number[] = [];
    const listener = bareHttp.listener([background, upload, background], (_req, res) => {
      addBackgroundTask(() => {});
      sizes.push(res.locals.backgroundTasks.size);
      res.end('answered.');
    });
    const client = await RawClient.connect(await serve(listener));
    client.send('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n');
    await arrived.opened;
    client.send('file');
    await client.until(/answered\./);
    expect(sizes).toEqual([1]);
  });

  it('throws what add throws', async () => {
    const background = makeBackground({ ambient: true, maxBacklog: 1 });
    const [express5] = errorAnswering;
    const listener = express5?.listener([background], () => {
      addBackgroundTask(() => {});
      addBackgroundTask(() => {});
    });
    expect((await request(await serve(listener as Parameters<typeof serve>[0]))).status).toBe(503);
  });

  it('throws outside a request', () => {
    makeBackground({ ambient: true });
    expect(() => addBackgroundTask(() => {})).toThrow(code('ERR_BACKGROUND_NO_REQUEST'));
  });

  it('throws in a request without the option, and says what to do', async () => {
    await inRequest(makeBackground(), () => {
      expect(() => addBackgroundTask(() => {})).toThrow(code('ERR_BACKGROUND_NO_REQUEST'));
      expect(() => addBackgroundTask(() => {})).toThrow(/ambient: true/);
    });
  });
});

describe('currentTask()', () => {
  it('tells a task its id, name, attempt, signal and context, after an await as well', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 0 }, context: () => ({ user: 'ada' }) });
    const seen: unknown[] = [];
    const handle = await inRequest(background, (tasks) =>
      tasks.add(async function look() {
        const before = currentTask();
        await work(1);
        const { id, name, attempt, signal, context } = currentTask() as NonNullable<typeof before>;
        expect(currentTask()).toBe(before);
        seen.push({ id, name, attempt, aborted: signal.aborted, context });
        if (attempt === 1) throw new Error('once');
      }),
    );
    await handle.settled;
    const first = { id: handle.id, name: 'look', attempt: 1, aborted: false, context: { user: 'ada' } };
    expect(seen).toEqual([first, { ...first, attempt: 2 }]);
  });

  it('is different for each task, when they run side by side', async () => {
    const background = makeBackground({ order: 'parallel' });
    const look = async (): Promise<unknown> => {
      const before = currentTask()?.id;
      await work(2);
      return [before, currentTask()?.id];
    };
    const handles = await inRequest(background, (tasks) => [tasks.add(look), tasks.add(look)]);
    for (const handle of handles) expect((await handle.settled).value).toEqual([handle.id, handle.id]);
  });

  it('is undefined outside of tasks, in hooks and listeners too', async () => {
    const seen: unknown[] = [currentTask()];
    const look = (): void => {
      seen.push(currentTask());
    };
    const background = makeBackground({ onError: look });
    const handle = await inRequest(background, (tasks) => {
      look();
      return tasks.add(() => {
        throw new Error('for onError');
      });
    });
    await handle.settled;
    look();
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('is undefined in the code that added a task which started at once', () => {
    const background = makeBackground();
    background.add(() => {});
    expect(currentTask()).toBeUndefined();
  });
});

describe('the option `context`', () => {
  it('is called at each add with the request, and read in the task', async () => {
    const asked: unknown[] = [];
    const background = makeBackground({
      context: (req) => {
        asked.push(req.url);
        return { url: req.url, number: asked.length };
      },
    });
    const seen: unknown[] = [];
    const look = (): void => {
      seen.push(currentTask()?.context);
    };
    const listener = bareHttp.listener([background], (_req, res) => {
      res.locals.backgroundTasks.add(look);
      res.locals.backgroundTasks.add(look);
      res.end();
    });
    await request(await serve(listener), { path: '/path' });
    await background.idle();
    expect(asked).toEqual(['/path', '/path']);
    expect(seen).toEqual([
      { url: '/path', number: 1 },
      { url: '/path', number: 2 },
    ]);
  });

  it('passes from a task to the tasks that it adds outside of the response', async () => {
    const background = makeBackground({ context: (req) => ({ url: req.url }) });
    const handle = await inRequest(background, (tasks) =>
      tasks.add(async () => (await background.add(() => currentTask()?.context).settled).value),
    );
    expect((await handle.settled).value).toEqual({ url: '/' });
  });

  it('is undefined for a task without a request', async () => {
    const background = makeBackground({ context: () => ({ user: 'ada' }) });
    expect((await background.add(() => currentTask()?.context).settled).value).toBeUndefined();
  });

  it('fails the add in the handler where it is asynchronous, whatever becomes of its promise', async () => {
    const background = makeBackground({ context: () => Promise.reject(new Error('no user')) });
    await inRequest(background, (tasks) => {
      expect(() => tasks.add(() => {})).toThrow(
        expect.objectContaining({ code: 'ERR_BACKGROUND_HOOK', message: expect.stringContaining('promise') }),
      );
    });
  });

  it('fails the add in the handler where it throws, and nothing is counted', async () => {
    const broken = new Error('no user');
    const background = makeBackground({
      context: () => {
        throw broken;
      },
    });
    await inRequest(background, (tasks) => {
      expect(() => tasks.add(() => {})).toThrow(
        expect.objectContaining({ code: 'ERR_BACKGROUND_HOOK', cause: broken }),
      );
      expect(tasks.size).toBe(0);
    });
    expect(background.stats()).toMatchObject({ added: 0, backlog: { size: 0 } });
  });
});

describe('what is reported', () => {
  const NAMES = ['added', 'started', 'retrying', 'settled'] as const;
  type Told = [keyof BackgroundTaskEvents, object];

  /** Adds tasks with every kind of outcome in a request; `told` gets what listeners are given. */
  async function tellAll(background: BackgroundTasks): Promise<Record<string, TaskHandle>> {
    const handles = await inRequest(background, (tasks) => ({
      flaky: tasks.with({ name: 'flaky', priority: 7, retry: { attempts: 2, delay: 1, jitter: 0 } }).add(() => {
        if (currentTask()?.attempt === 1) throw new Error('once');
        return 'value';
      }),
      skipped: tasks.with({ name: 'skipped', when: 'failure' }).add(() => {}),
    }));
    await background.idle();
    return handles;
  }

  async function expectAllTold(told: readonly Told[], handles: Record<string, TaskHandle>): Promise<void> {
    const { flaky, skipped } = handles as { flaky: TaskHandle; skipped: TaskHandle };
    const facts = { id: flaky.id, name: 'flaky', executor: 'event-loop' };
    const skippedFacts = { id: skipped.id, name: 'skipped', executor: 'event-loop' };
    const waitedMs = expect.any(Number);
    const error = expect.objectContaining({ message: 'once' });
    const aboutFlaky = told.filter(([, event]) => (event as { id: string }).id === flaky.id);
    const aboutSkipped = told.filter(([, event]) => (event as { id: string }).id === skipped.id);
    expect(aboutFlaky).toEqual([
      ['added', { ...facts, priority: 7 }],
      ['started', { ...facts, attempt: 1, waitedMs }],
      ['retrying', { ...facts, attempt: 1, error, delayMs: 1 }],
      ['started', { ...facts, attempt: 2, waitedMs }],
      [
        'settled',
        {
          ...facts,
          state: 'completed',
          value: 'value',
          attempts: 2,
          waitedMs,
          ranMs: expect.any(Number),
          response: SENT,
        },
      ],
    ]);
    expect(aboutFlaky.at(-1)?.[1]).toBe(await flaky.settled);
    expect(aboutSkipped).toEqual([
      ['added', { ...skippedFacts, priority: 0 }],
      ['settled', { ...skippedFacts, state: 'skipped', attempts: 0, waitedMs, ranMs: 0, response: SENT }],
    ]);
  }

  it('reaches the listeners of each event, in order', async () => {
    const background = makeBackground();
    const told: Told[] = [];
    for (const name of NAMES) expect(background.on(name, (event) => told.push([name, event]))).toBe(background);
    await expectAllTold(told, await tellAll(background));
  });

  it('reaches the diagnostics channels, without a listener', async () => {
    const background = makeBackground();
    const told: Told[] = [];
    for (const name of NAMES) {
      const channel = `express-background-tasks:${name}`;
      const subscriber = (message: unknown): void => {
        told.push([name, message as object]);
      };
      diagnostics.subscribe(channel, subscriber);
      atEnd(() => diagnostics.unsubscribe(channel, subscriber));
    }
    await expectAllTold(told, await tellAll(background));
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('the listener is broken');
      },
    ],
    ['rejects', () => Promise.reject(new Error('the listener is broken'))],
  ])('is logged if a listener %s, which affects neither tasks nor other listeners', async (_how, broken) => {
    const lines: string[] = [];
    const allLogged = makeGate();
    const line = (message: string): void => {
      if (lines.push(message) === 3) allLogged.open();
    };
    const background = makeBackground({ logger: { error: line, warn: line, info: line, debug() {} } });
    const heard: string[] = [];
    for (const name of ['added', 'started', 'settled'] as const) {
      background.on(name, broken as () => void);
      background.on(name, () => heard.push(name));
    }
    const handle = background.add(() => 'unharmed');
    expect(await handle.settled).toMatchObject({ state: 'completed', value: 'unharmed' });
    await allLogged.opened;
    expect(heard).toEqual(['added', 'started', 'settled']);
    for (const name of heard) {
      expect(lines.filter((text) => text.includes(`the listener of '${name}' not to throw`))).toHaveLength(1);
    }
    expect(lines).toHaveLength(3);
  });

  it('no longer reaches a listener after off()', async () => {
    const background = makeBackground();
    const heard: string[] = [];
    const first = (): number => heard.push('first');
    background.on('settled', first);
    background.on('settled', () => heard.push('second'));
    await background.add(() => {}).settled;
    expect(background.off('settled', first)).toBe(background);
    await background.add(() => {}).settled;
    expect(heard).toEqual(['first', 'second', 'second']);
  });

  it('is refused for an event that does not exist, and a listener that is no function', () => {
    const background = makeBackground();
    for (const method of ['on', 'off'] as const) {
      expect(() => background[method]('finished' as 'settled', () => {})).toThrow(code('ERR_BACKGROUND_OPTION'));
      expect(() => background[method]('settled', 'listener' as never)).toThrow(code('ERR_BACKGROUND_OPTION'));
    }
  });
});
