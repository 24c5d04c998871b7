/** Blocking tasks, in threads and in processes: where they run, what they know, and in which order they start. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { currentTask, type Outcome, type TaskHandle } from 'express-background-tasks';
import { request } from './support/clients.ts';
import { makeWorkerGate } from './support/gates.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { bareHttp, serve } from './support/servers.ts';
import { shareBackground } from './support/shared-background.ts';
import { workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

describe.each(workerKinds)('tasks in $plural', (kind) => {
  const { executor, option, tasks, aware } = kind;
  const shared = shareBackground({
    ...kind.options(1),
    maxBacklog: 21,
    context: (req) => ({ path: req.url, since: new Date(0) }),
  });

  it('run there, and return their value', async () => {
    const background = shared();
    const sum = background.add(tasks.add, 20, 22);
    const place = background.add(tasks.whereAmI);
    expect(await sum.settled).toMatchObject({ state: 'completed', executor, name: 'add', attempts: 1, value: 42 });
    expect((await place.settled).value).toMatchObject(kind.place);
  });

  it('are counted separately from those of the other executor', async () => {
    const background = shared();
    const others = workerKinds.filter((other) => other !== kind);
    const { completed } = kind.counts(background).outcomes;
    await background.add(tasks.nothing).settled;
    expect(kind.counts(background)).toMatchObject({
      workers: 1,
      idle: 1,
      max: 1,
      outcomes: { completed: completed + 1 },
    });
    expect(others.map((other) => other.counts(background))).toMatchObject([{ workers: 0, outcomes: { completed: 0 } }]);
  });

  it('know their own id, name, attempt and signal', async () => {
    const handle = shared().with({ name: 'described' }).add(aware.describeTask);
    const { value } = await handle.settled;
    expect(value).toEqual({ id: handle.id, name: 'described', attempt: 1, context: undefined, isAborted: false });
  });

  it(`are reported outside the async context of any request or task, though one had their ${executor} started`, async () => {
    const storage = new AsyncLocalStorage<string>();
    const { storage: failing } = kind.refer<{ storage(): void }>('thread-errors.mjs');
    const seen: unknown[] = [];
    const look = (): void => void seen.push(storage.getStore(), currentTask()?.name);
    const write = (_line: string, { task }: { task?: string } = {}): void => {
      if (task === 'failing') look();
    };
    const background = kind.open(
      1,
      {},
      {
        logger: { error: write, warn: write, info: write, debug: write },
        onError: look,
      },
    );
    for (const event of ['started', 'retrying', 'settled'] as const) {
      background.on(event, ({ name }) => {
        if (name === 'failing') look();
      });
    }
    const retryIf = (): boolean => {
      look();
      return true;
    };
    const fail = (): Promise<Outcome> =>
      background.with({ name: 'failing', retry: { attempts: 2, delay: 0, retryIf } }).add(failing).settled;
    await storage.run('the first request', () => background.add(fail).settled);
    await storage.run('the second request', () => Promise.all([fail(), fail()]));
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).toEqual(new Array(seen.length).fill(undefined));
  });

  it('know the context of their request', async () => {
    const settled: Promise<Outcome>[] = [];
    const port = await serve(
      bareHttp.listener([shared()], (_req, res) => {
        settled.push(res.locals.backgroundTasks.add(aware.describeTask).settled);
        res.end();
      }),
    );
    await request(port, { path: '/orders/7' });
    const [outcome] = await Promise.all(settled);
    expect(outcome?.value).toMatchObject({ context: { path: '/orders/7', since: new Date(0) } });
  });

  describe('that a task of a request adds outside of its response', () => {
    interface Context {
      path: string;
      close?: () => void;
    }

    /** Calls `add` in a task on the event loop, which has the context as it is; resolves when that task has ended. */
    async function inTask(add: (context: Context) => void): Promise<void> {
      const settled: Promise<Outcome>[] = [];
      const port = await serve(
        bareHttp.listener([shared()], (_req, res) => {
          settled.push(res.locals.backgroundTasks.add(() => add(currentTask()?.context as Context)).settled);
          res.end();
        }),
      );
      await request(port, { path: '/orders/8' });
      expect((await settled[0])?.error).toBeUndefined();
    }

    it('know the context of that task as it was then', async () => {
      const background = shared();
      const gate = await makeWorkerGate();
      background.add(tasks.hold, gate.port);
      await gate.entered();
      let waiting: TaskHandle | undefined;
      await inTask((context) => {
        waiting = background.add(aware.describeTask);
        context.path = '/changed';
      });
      gate.open();
      expect((await waiting?.settled)?.value).toMatchObject({ context: { path: '/orders/8', since: new Date(0) } });
    });

    it('are refused where that context cannot be copied', async () => {
      await inTask((context) => {
        context.close = () => {};
        const { code, message } = thrownBy(() => shared().add(aware.describeTask));
        expect(code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
        expect(message).toContain('the `context` of the task that added it');
      });
    });
  });

  it('start after the response, one after the other, in the order added', async () => {
    const background = kind.open(2);
    const events: string[] = [];
    background.on('started', ({ name }) => events.push(`started ${name}`));
    background.on('settled', ({ name }) => events.push(`settled ${name}`));
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        list.with({ name: 'first' }).add(tasks.returnMapAfter, 30, 'value');
        list.with({ name: 'second' }).add(tasks.nothing);
        res.once('finish', () => events.push('finished'));
        res.end();
      }),
    );
    await request(port);
    await background.idle();
    expect(events).toEqual(['finished', 'started first', 'settled first', 'started second', 'settled second']);
  });

  it('share one load of their module, which the server itself never loads', async () => {
    const { report } = kind.refer<{ report(): { loads: number; calls: number } }>('module-loads.mjs');
    const background = shared();
    const reports = [];
    for (let count = 1; count <= 3; count += 1) reports.push((await background.add(report).settled).value);
    expect(reports).toEqual([1, 2, 3].map((calls) => ({ loads: 1, calls })));
    expect((globalThis as { loadsOfThisFile?: number }).loadsOfThisFile).toBeUndefined();
  });

  it(`are given the environment, the arguments and the Node options of \`${option}\``, async () => {
    const background = kind.open(1, {
      env: { GREETING: 'hello' },
      argv: ['--verbose'],
      execArgv: ['--no-deprecation'],
    });
    const { value } = await background.add(tasks.surroundings).settled;
    expect(value).toMatchObject({ greeting: 'hello', argv: ['--verbose'], warnsOfDeprecation: false });
    expect(value?.home).toBeUndefined();
  });

  it(`are given what stood in \`${option}\` when it was given, though it was changed before they start`, async () => {
    const given = { env: { GREETING: 'hello' }, argv: ['--verbose'], execArgv: ['--no-deprecation'] };
    const background = kind.open(1, given);
    given.env.GREETING = 'good evening';
    given.argv.pop();
    given.execArgv.pop();
    const { value } = await background.add(tasks.surroundings).settled;
    expect(value).toMatchObject({ greeting: 'hello', argv: ['--verbose'], warnsOfDeprecation: false });
  });

  it(`do not have what is undefined in \`${option}.env\``, async () => {
    const background = kind.open(1, { env: { ...process.env, HOME: undefined, GREETING: 'hello' } });
    const { value } = await background.add(tasks.surroundings).settled;
    expect(value).toMatchObject({ greeting: 'hello', home: undefined });
  });

  it(`have the environment of the server where \`${option}\` says nothing`, async () => {
    const { value } = await shared().add(tasks.surroundings).settled;
    expect(value).toMatchObject({ home: process.env['HOME'], argv: [], warnsOfDeprecation: true });
  });

  describe('that wait', () => {
    async function orderOf(added: readonly { readonly name: string; readonly priority?: number }[]): Promise<string[]> {
      const background = shared();
      const started: string[] = [];
      const gate = await makeWorkerGate();
      background.add(tasks.hold, gate.port);
      await gate.entered();
      background.on('started', ({ name }) => started.push(name));
      for (const { name, priority } of added) background.with({ name, priority }).add(tasks.nothing);
      gate.open();
      await background.idle();
      return started;
    }

    it('start in the order added, within a priority', async () => {
      const names = Array.from({ length: 20 }, (_, index) => `task ${index}`);
      expect(await orderOf(names.map((name) => ({ name })))).toEqual(names);
    });

    it('start with the higher priority first, whenever it was added', async () => {
      const order = await orderOf([
        { name: 'low 1', priority: -5 },
        { name: 'normal 1' },
        { name: 'high 1', priority: 10 },
        { name: 'low 2', priority: -5 },
        { name: 'high 2', priority: 10 },
        { name: 'highest', priority: 100 },
        { name: 'normal 2', priority: 0 },
        { name: 'lowest', priority: -100 },
      ]);
      expect(order).toEqual(['highest', 'high 1', 'high 2', 'normal 1', 'normal 2', 'low 1', 'low 2', 'lowest']);
    });

    it('keep their order, and count for the backlog, where some are cancelled', async () => {
      const background = shared();
      const gate = await makeWorkerGate();
      background.add(tasks.hold, gate.port);
      await gate.entered();
      const numbers = Array.from({ length: 20 }, (_, index) => index);
      const waiting = numbers.map((number) => background.add(tasks.echo, number));
      expect(thrownBy(() => background.add(tasks.nothing)).code).toBe('ERR_BACKGROUND_FULL');
      const echoed: unknown[] = [];
      background.on('settled', ({ name, state, value }) => {
        if (name === 'echo') echoed.push(state === 'completed' ? value : state);
      });
      waiting[1]?.cancel();
      gate.open();
      await background.idle();
      expect(echoed).toEqual(['cancelled', ...numbers.filter((number) => number !== 1)]);
    });

    it('end in the order added, where one worker runs them all', async () => {
      const background = shared();
      const ended: unknown[] = [];
      background.on('settled', ({ value }) => ended.push(value));
      for (let number = 0; number < 16; number += 1) background.add(tasks.echo, number);
      await background.idle();
      expect(ended).toEqual(Array.from({ length: 16 }, (_, index) => index));
    });
  });
});
