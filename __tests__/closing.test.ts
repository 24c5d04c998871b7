/** The end of an instance: idle(), close(), and what becomes of every accepted task. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, expect, it, jest } from '@jest/globals';
import { type BackgroundTaskError, type BackgroundTasks, blocking, currentTask } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate, makeThreadGate } from './support/gates.ts';
import { canCountWorkers, countWorkers } from './support/live-workers.ts';
import { codeOf, thrownBy } from './support/outcomes.ts';
import { makePipe } from './support/pipes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { bareHttp, listen, serve, type TaskedResponse } from './support/servers.ts';
import { work } from './support/time.ts';
import { threads } from './support/worker-kinds.ts';

expectNoProcessFaults();

const tasks = blocking<typeof import('./fixtures/thread-tasks.mjs')>(fixture('thread-tasks.mjs'));
const SOON = { timeout: 100 };
const never = (): Promise<never> => new Promise(() => {});

/** A request whose handler adds tasks and then does not answer until the test says so. */
async function holdResponse(
  background: BackgroundTasks,
  addTasks: (list: TaskedResponse['locals']['backgroundTasks']) => void,
): Promise<TaskedResponse> {
  const held = makeGate<TaskedResponse>();
  const port = await serve(
    bareHttp.listener([background], (_req, res) => {
      addTasks(res.locals.backgroundTasks);
      held.open(res);
    }),
  );
  const client = await RawClient.connect(port);
  client.send(getText());
  return held.opened;
}

describe('idle()', () => {
  it('resolves where nothing was ever added', async () => {
    await expect(makeBackground().idle()).resolves.toBeUndefined();
  });

  it('waits for running tasks, for every caller, and can be called again', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    for (let round = 0; round < 2; round += 1) {
      const handles = [background.add(work, 20), background.add(tasks.add, 1, 2)];
      await Promise.all([background.idle(), background.idle()]);
      expect(handles.map(({ state }) => state)).toEqual(['completed', 'completed']);
    }
  });

  it('waits for what running tasks add', async () => {
    const background = makeBackground();
    const ended: string[] = [];
    background.add(async function first() {
      await work(5);
      background.add(async function second() {
        await work(5);
        background.add(() => ended.push('third'));
        ended.push('second');
      });
      ended.push('first');
    });
    await background.idle();
    expect(ended.sort()).toEqual(['first', 'second', 'third']);
  });

  it('waits for tasks whose response is under way', async () => {
    const background = makeBackground();
    const events: string[] = [];
    const res = await holdResponse(background, (list) => list.add(() => events.push('ran')));
    const idle = background.idle().then(() => events.push('idle'));
    // With its end nothing else runs or waits.
    await background.add(() => {}).settled;
    await new Promise(setImmediate);
    expect(events).toEqual([]);
    res.end();
    await idle;
    expect(events).toEqual(['ran', 'idle']);
  });
});

describe('close()', () => {
  it('resolves where there is nothing to wait for', async () => {
    expect(await makeBackground().close()).toEqual({ completed: 0, failed: 0, abandoned: [] });
  });

  it('waits for what waits and runs, in threads and on the event loop', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const handles = [
      background.add(work, 30),
      background.add(tasks.busyFor, 30),
      background.add(tasks.add, 1, 1),
      background.add(tasks.add, 2, 2),
    ];
    expect(await background.close()).toEqual({ completed: 4, failed: 0, abandoned: [] });
    expect(handles.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed', 'completed']);
  });

  it('counts what completes and fails after the call, and not what had settled before', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    await background.add(() => 'before').settled;
    await background.add(() => Promise.reject(new Error('before'))).settled;
    background.add(work, 10);
    background.add(async () => {
      await work(10);
      throw new Error('in the meantime');
    });
    background.with({ timeout: 10 }).add(never);
    background.add(tasks.exitWith, 1);
    background.add(never).cancel();
    const cancelledLater = background.add(never);
    const closing = background.close();
    cancelledLater.cancel();
    expect(await closing).toEqual({ completed: 1, failed: 3, abandoned: [] });
  });

  it('refuses at once what is added from outside, with an error that Express answers with 503', async () => {
    const background = makeBackground();
    const gate = makeGate();
    background.add(() => gate.opened);
    const closing = background.close();
    const refusal = thrownBy(() => background.add(function late() {}));
    expect(refusal).toMatchObject({ code: 'ERR_BACKGROUND_CLOSED', status: 503, expose: true });
    expect(refusal.message).toContain('late');
    expect(thrownBy(() => background.with({ name: 'x' }).add(tasks.nothing)).code).toBe('ERR_BACKGROUND_CLOSED');
    gate.open();
    expect(await closing).toMatchObject({ completed: 1 });
    expect(thrownBy(() => background.add(() => {})).code).toBe('ERR_BACKGROUND_CLOSED');
    expect(background.stats()).toMatchObject({ added: 1, settled: 1 });
  });

  it('refuses what a handler adds, by an error in the handler', async () => {
    const background = makeBackground();
    const refusals: unknown[] = [];
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        refusals.push(thrownBy(() => res.locals.backgroundTasks.add(() => {})).code);
        res.end('served');
      }),
    );
    await background.close();
    expect(await request(port)).toMatchObject({ status: 200, body: 'served' });
    expect(refusals).toEqual(['ERR_BACKGROUND_CLOSED']);
  });

  it('comes to its end after code that added tasks in an endless recursion, until the stack ran out somewhere', async () => {
    const background = makeBackground({ maxBacklog: 1_000_000 });
    const addWithoutEnd = (): void => {
      background.add(() => {});
      addWithoutEnd();
    };
    const from = (depth: number): void => (depth === 0 ? addWithoutEnd() : from(depth - 1));
    for (let depth = 0; depth < 10; depth += 1) expect(() => from(depth)).toThrow('call stack');
    await background.close({ timeout: 100 });
    const { added, settled, waiting, running } = background.stats();
    expect({ settled, waiting, running }).toEqual({ settled: added, waiting: 0, running: 0 });
  });

  it('accepts what running tasks add, however deep, and waits for it', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const ran: string[] = [];
    const gate = makeGate();
    background.add(async () => {
      await gate.opened;
      background.add(async () => {
        await work(5);
        background.add(tasks.add, 1, 2).settled.then(({ state }) => ran.push(`grandchild ${state}`));
        ran.push('child');
      });
      ran.push('parent');
    });
    const closing = background.close();
    gate.open();
    expect(await closing).toEqual({ completed: 3, failed: 0, abandoned: [] });
    expect(ran).toEqual(['parent', 'child', 'grandchild completed']);
  });

  it('accepts nothing from code that a finished task left behind', async () => {
    const background = makeBackground();
    const [late, running] = [makeGate(), makeGate()];
    const refused = makeGate<unknown>();
    await background.add(() => {
      void late.opened.then(() => refused.open(thrownBy(() => background.add(() => {})).code));
    }).settled;
    background.add(() => running.opened);
    const closing = background.close();
    late.open();
    expect(await refused.opened).toBe('ERR_BACKGROUND_CLOSED');
    running.open();
    expect(await closing).toEqual({ completed: 1, failed: 0, abandoned: [] });
  });

  it('accepts nothing once its time is over, not even from tasks', async () => {
    const background = makeBackground();
    const refused = makeGate<unknown>();
    background.add(async () => {
      const signal = currentTask()?.signal as AbortSignal;
      await once(signal, 'abort');
      refused.open(thrownBy(() => background.add(() => {})).code);
    });
    await background.close(SOON);
    expect(await refused.opened).toBe('ERR_BACKGROUND_CLOSED');
  });

  it('accepts nothing once its time is over, not even from a task that is given up a moment later', async () => {
    const background = threads.open(1);
    const gate = makeThreadGate();
    background.add(tasks.loopForEver, gate.shared);
    await gate.entered();
    const waiting = background.add(tasks.add, 1, 2);
    const adding = background.add(async () => {
      // It is given up first, and this one when the loop has been ended.
      await waiting.settled;
      return thrownBy(() => background.add(never)).code;
    });
    await background.close(SOON);
    expect(await adding.settled).toMatchObject({ state: 'completed', value: 'ERR_BACKGROUND_CLOSED' });
  });

  it('waits for a response that is under way, and for its tasks', async () => {
    const background = makeBackground();
    const ran: string[] = [];
    const res = await holdResponse(background, (list) => list.add(() => ran.push('ran')));
    const closing = background.close();
    res.end('done');
    expect(await closing).toEqual({ completed: 1, failed: 0, abandoned: [] });
    expect(ran).toEqual(['ran']);
  });

  it('lets a task between two attempts have its next one', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 40, jitter: 0 } });
    const handle = background.add(() => {
      if (currentTask()?.attempt === 1) throw new Error('the first attempt');
    });
    expect(handle.state).toBe('retrying');
    expect(await background.close()).toEqual({ completed: 1, failed: 0, abandoned: [] });
  });

  it('lets a task run whose thread is only just starting', async () => {
    const background = makeBackground({ pool: { maxThreads: 2 } });
    const handle = background.add(tasks.add, 20, 22);
    expect(await background.close()).toEqual({ completed: 1, failed: 0, abandoned: [] });
    expect((await handle.settled).value).toBe(42);
  });

  it('ends every thread, those kept by `minThreads` included', async () => {
    const background = makeBackground({ pool: { minThreads: 2, maxThreads: 2 } });
    await background.add(tasks.nothing).settled;
    expect(background.stats().executors.thread.threads).toBe(2);
    await background.close();
    expect(background.stats().executors.thread).toMatchObject({ threads: 0, idleThreads: 0, running: 0 });
  });

  it('ends threads that have not started yet', async () => {
    const background = makeBackground({ pool: { minThreads: 2, maxThreads: 2 } });
    expect(await background.close({ timeout: 0 })).toEqual({ completed: 0, failed: 0, abandoned: [] });
    expect(background.stats().executors.thread.threads).toBe(0);
  });

  it('does it once: every call gets the same report', async () => {
    const background = makeBackground();
    const gate = makeGate();
    background.add(() => gate.opened);
    const first = background.close();
    const second = background.close({ timeout: 0 });
    gate.open();
    const report = await first;
    expect(report).toEqual({ completed: 1, failed: 0, abandoned: [] });
    expect(await second).toBe(report);
    expect(await background.close()).toBe(report);
  });

  it('is what the end of a scope does', async () => {
    const background = makeBackground();
    const handle = background.add(work, 20);
    await background[Symbol.asyncDispose]();
    expect(handle.state).toBe('completed');
    expect(thrownBy(() => background.add(() => {})).code).toBe('ERR_BACKGROUND_CLOSED');
  });

  it('waits as long as the tasks run, if it has no time limit', async () => {
    const background = makeBackground();
    background.add(work, 50);
    expect(await background.close({ timeout: Number.POSITIVE_INFINITY })).toMatchObject({ completed: 1 });
  });

  it('leaves the middleware in place: requests are served without tasks', async () => {
    const background = makeBackground();
    await background.close();
    const port = await serve(bareHttp.listener([background], (_req, res) => void res.end('served')));
    expect(await request(port)).toMatchObject({ status: 200, body: 'served' });
    await background.idle();
  });
});

describe('when close() runs out of time', () => {
  it('names every task that it gave up, wherever it was', async () => {
    const onError = jest.fn();
    const background = makeBackground({ pool: { maxThreads: 1 }, onError, retry: { delay: 60_000 } });
    const gate = makeThreadGate();
    const inThread = background.with({ name: 'in a thread' }).add(tasks.hold, gate.shared);
    await gate.entered();
    const handles = [
      inThread,
      background.with({ name: 'waiting for a thread' }).add(tasks.add, 1, 1),
      background.with({ name: 'on the event loop' }).add(never),
      background.with({ name: 'between attempts', retry: { attempts: 2 } }).add(() => {
        throw new Error('the first attempt');
      }),
    ];
    const settled: string[] = [];
    background.on('settled', ({ id }) => settled.push(id));

    const report = await background.close(SOON);
    expect(report).toMatchObject({ completed: 0, failed: 0 });
    expect(report.abandoned.map(({ name, state, attempts }) => ({ name, state, attempts })).sort(byName)).toEqual([
      { name: 'between attempts', state: 'abandoned', attempts: 1 },
      { name: 'in a thread', state: 'abandoned', attempts: 1 },
      { name: 'on the event loop', state: 'abandoned', attempts: 1 },
      { name: 'waiting for a thread', state: 'abandoned', attempts: 0 },
    ]);
    const ids = handles.map(({ id }) => id).sort();
    expect(report.abandoned.map(({ id }) => id).sort()).toEqual(ids);
    expect(settled.sort()).toEqual(ids);
    expect(report.abandoned.map(codeOf)).toEqual(new Array(4).fill('ERR_BACKGROUND_ABANDONED'));
    expect(onError).toHaveBeenCalledTimes(4);
    for (const handle of handles) {
      expect(report.abandoned).toContainEqual(expect.objectContaining({ ...(await handle.settled) }));
    }
    expect(report.abandoned.find(({ name }) => name === 'waiting for a thread')?.arguments).toEqual(['1', '1']);
    expect(background.stats()).toMatchObject({
      added: 4,
      settled: 4,
      waiting: 0,
      running: 0,
      retrying: 0,
      executors: { thread: { threads: 0 } },
    });
    await background.idle();
  });

  it('aborts the signals, and waits a little for those who heed them', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const heard = new Int32Array(new SharedArrayBuffer(8));
    const inThread = background.add(tasks.waitForSignal, heard);
    const started = makeGate();
    const tidied: unknown[] = [];
    background.add(async () => {
      const signal = currentTask()?.signal as AbortSignal;
      started.open();
      await once(signal, 'abort');
      await null;
      tidied.push((signal.reason as BackgroundTaskError).code);
    });
    await started.opened;
    await background.add(tasks.nothing).cancel();
    while (inThread.state !== 'running') await background.add(work, 5).settled;

    const { abandoned } = await background.close({ timeout: 3_000 });
    expect(abandoned).toHaveLength(2);
    expect(tidied).toEqual(['ERR_BACKGROUND_ABANDONED']);
    expect(heard[1]).toBe(1);
  });

  it('waits for those on the event loop also where no thread is to be ended', async () => {
    const background = makeBackground();
    let hasTidied = false;
    background.add(async () => {
      await once(currentTask()?.signal as AbortSignal, 'abort');
      await work(20);
      hasTidied = true;
    });
    await background.close({ timeout: 3_000 });
    expect(hasTidied).toBe(true);
  });

  it('logs every task of the event loop before the signal of any aborts, so that one that loops then hides none', async () => {
    const told: string[] = [];
    const write = (message: string): void => void told.push(message);
    const background = makeBackground({ logger: { error: write, warn: write, info: write, debug: () => {} } });
    for (const name of ['first', 'second']) {
      background.with({ name }).add(async () => {
        currentTask()?.signal.addEventListener('abort', () => told.push(`the signal of ${name}`));
        await never();
      });
    }
    await background.close(SOON);
    expect(
      told.map((line) => /^Task (first|second) was abandoned|the signal of .*/.exec(line)?.[0]).filter(Boolean),
    ).toEqual(['Task first was abandoned', 'Task second was abandoned', 'the signal of first', 'the signal of second']);
  });

  it('ends an endless loop', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 }, timeout: Number.POSITIVE_INFINITY });
    const gate = makeThreadGate();
    const handle = background.add(tasks.loopForEver, gate.shared);
    await gate.entered();
    const { abandoned } = await background.close(SOON);
    expect(abandoned).toMatchObject([{ id: handle.id, state: 'abandoned', executor: 'thread' }]);
    expect(background.stats().executors.thread.threads).toBe(0);
  });

  it('names a task during a call of native code, in which a thread cannot be ended, and what waits behind it', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const pipe = makePipe();
    await background.add(threads.tasks.nothing).settled; // The module is loaded then.
    background.add(threads.tasks.readFile, pipe.path);
    background.add(threads.tasks.nothing);
    const { abandoned } = await background.close({ timeout: 500 });
    expect(abandoned.map(({ name }) => name).sort()).toEqual(['nothing', 'readFile']);
  });

  (canCountWorkers ? it : it.skip)('waits for the end of a thread that could not be ended before', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const pipe = makePipe();
    await background.add(threads.tasks.nothing).settled;
    const before = countWorkers().threads;
    const { state } = await background.with({ timeout: 1 }).add(threads.tasks.readFile, pipe.path).settled;
    expect(state).toBe('timed-out');
    const closing = background.close();
    pipe.release();
    await closing;
    expect(countWorkers().threads).toBeLessThan(before);
  });

  it('gives up a promise that never settles', async () => {
    const background = makeBackground({ timeout: Number.POSITIVE_INFINITY });
    const handle = background.add(never);
    const { abandoned } = await background.close(SOON);
    expect(abandoned).toMatchObject([{ id: handle.id, state: 'abandoned', attempts: 1 }]);
    expect(abandoned[0]).toEqual({ ...(await handle.settled), arguments: [] });
  });

  it('tells each argument of what it gave up in a line, a long list as well', async () => {
    const background = makeBackground({ timeout: Number.POSITIVE_INFINITY });
    background.add((..._arguments: unknown[]) => never(), [1, 2, 3, 4, 5, 6, 7, 8], { ids: Array(11).fill(7) });
    const { abandoned } = await background.close(SOON);
    expect(abandoned[0]?.arguments).toEqual([
      '[ 1, 2, 3, 4, 5, 6, 7, 8 ]',
      '{ ids: [ 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, ... 1 more item ] }',
    ]);
  });

  it('gives up the tasks of a response that never ends, and they never start', async () => {
    const background = makeBackground();
    const ran: string[] = [];
    const res = await holdResponse(background, (list) => list.add(() => ran.push('ran')));
    const { abandoned } = await background.close(SOON);
    expect(abandoned).toMatchObject([{ state: 'abandoned', attempts: 0 }]);
    expect(abandoned[0]?.response).toBeUndefined();
    const closed = once(res, 'close');
    res.end();
    await closed;
    await background.idle();
    expect(ran).toEqual([]);
  });

  it('starts none of the tasks that waited behind the one that it gave up', async () => {
    const background = makeBackground();
    const started: string[] = [];
    background.on('started', ({ name }) => started.push(name));
    const res = await holdResponse(background, (list) => {
      list.with({ name: 'first' }).add(never);
      list.with({ name: 'second' }).add(() => {});
      list.with({ name: 'third' }).add(never);
    });
    const begun = makeGate();
    background.on('started', () => begun.open());
    res.end();
    await begun.opened;
    const { abandoned, completed } = await background.close(SOON);
    expect(started).toEqual(['first']);
    expect(completed).toBe(0);
    expect(abandoned.map(({ name, attempts }) => ({ name, attempts })).sort(byName)).toEqual([
      { name: 'first', attempts: 1 },
      { name: 'second', attempts: 0 },
      { name: 'third', attempts: 0 },
    ]);
  });

  it('starts none of the tasks that waited behind one that is between two attempts', async () => {
    const background = makeBackground({ retry: { delay: 60_000 } });
    const started: string[] = [];
    const retrying = makeGate();
    background.on('started', ({ name }) => started.push(name));
    background.on('retrying', () => retrying.open());
    const res = await holdResponse(background, (list) => {
      list.with({ name: 'first', retry: { attempts: 2 } }).add(() => Promise.reject(new Error('the first attempt')));
      list.with({ name: 'second' }).add(() => {});
    });
    res.end();
    await retrying.opened;
    const { abandoned } = await background.close(SOON);
    expect(started).toEqual(['first']);
    expect(abandoned.map(({ name }) => name).sort()).toEqual(['first', 'second']);
  });

  it('starts none of the tasks that waited behind one that waits for a thread', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const gate = makeThreadGate();
    background.with({ name: 'in a thread' }).add(tasks.hold, gate.shared);
    await gate.entered();
    const ran: string[] = [];
    const begun = makeGate();
    const res = await holdResponse(background, (list) => {
      list.add(() => begun.open());
      list.with({ name: 'waiting for a thread' }).add(tasks.add, 1, 1);
      list.with({ name: 'behind it' }).add(() => ran.push('behind it'));
    });
    res.end();
    await begun.opened;
    const { abandoned } = await background.close(SOON);
    expect(ran).toEqual([]);
    expect(abandoned.map(({ name, attempts }) => ({ name, attempts })).sort(byName)).toEqual([
      { name: 'behind it', attempts: 0 },
      { name: 'in a thread', attempts: 1 },
      { name: 'waiting for a thread', attempts: 0 },
    ]);
  });

  it('gives up tasks whose thread is only just starting', async () => {
    const background = makeBackground({ pool: { maxThreads: 2 } });
    const handles = [background.add(tasks.add, 1, 1), background.add(tasks.add, 2, 2)];
    const { abandoned } = await background.close({ timeout: 0 });
    expect(abandoned.map(({ id }) => id)).toEqual(handles.map(({ id }) => id));
    expect(abandoned.map(({ attempts }) => attempts)).toEqual([0, 0]);
    expect(background.stats().executors.thread.threads).toBe(0);
  });

  it('does so at once with a timeout of 0', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const gate = makeThreadGate();
    background.add(tasks.hold, gate.shared);
    await gate.entered();
    background.add(never);
    const report = await background.close({ timeout: 0 });
    expect(report).toMatchObject({ completed: 0, failed: 0 });
    expect(report.abandoned).toHaveLength(2);
  });

  it('tries no abandoned task again', async () => {
    const background = makeBackground({ retry: { attempts: 5, delay: 0 } });
    let calls = 0;
    background.add(() => {
      calls += 1;
      return never();
    });
    const { abandoned } = await background.close(SOON);
    expect(abandoned).toMatchObject([{ attempts: 1 }]);
    expect(calls).toBe(1);
  });

  it('cannot be undone by a task that ends after all', async () => {
    const background = makeBackground();
    const gate = makeGate();
    const ended = makeGate();
    const handle = background.add(async () => {
      await gate.opened;
      ended.open();
      throw new Error('too late');
    });
    const report = await background.close(SOON);
    gate.open();
    await ended.opened;
    await background.idle();
    expect(handle.state).toBe('abandoned');
    expect(await background.close()).toBe(report);
    expect(handle.cancel()).toBe(false);
  });

  it('lets the server be closed at the same time', async () => {
    const background = makeBackground();
    const server = createServer(bareHttp.listener([background], (_req, res) => void res.end()));
    const port = await listen(server);
    await request(port);
    const closed = once(server, 'close');
    server.close();
    const [, report] = await Promise.all([closed, background.close(SOON)]);
    expect(report).toEqual({ completed: 0, failed: 0, abandoned: [] });
  });
});

function byName(one: { name: string }, other: { name: string }): number {
  return one.name < other.name ? -1 : 1;
}
