/** The cost of a request and a task that need nothing special: no listener, no async context, no AbortSignal until one is needed. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type BackgroundTasks, currentTask, type TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { runScriptWith } from './support/scripts.ts';
import { frameworks, type Handler, serve } from './support/servers.ts';
import { shareThread } from './support/shared-thread.ts';
import { threads } from './support/worker-kinds.ts';

expectNoProcessFaults();

const { tasks } = threads;

describe.each(frameworks)('under $name', (framework) => {
  /** What the handler returns for its request. */
  async function inRequest<T>(background: BackgroundTasks, handle: (...args: Parameters<Handler>) => T): Promise<T> {
    const returned: T[] = [];
    const handler: Handler = (req, res, next) => {
      returned.push(handle(req, res, next));
      res.end();
    };
    await request(await serve(framework.listener([background], handler)));
    await background.idle();
    return returned[0] as T;
  }

  describe('a request', () => {
    it('is listened to from its first task on, once for all of them', async () => {
      const counts = await inRequest(makeBackground(), (_req, res) => {
        const count = (): number => res.listenerCount('finish') + res.listenerCount('close') + res.listenerCount('end');
        const untouched = count();
        const list = res.locals.backgroundTasks;
        const looked = [list.size, ...list];
        const before = count() - untouched;
        list.add(() => {});
        const first = count() - untouched;
        list.add(() => {});
        return { looked, before, first, second: count() - untouched };
      });
      expect(counts).toEqual({ looked: [0], before: 0, first: expect.any(Number), second: counts.first });
      expect(counts.first).toBeGreaterThan(0);
    });
  });

  describe('async contexts', () => {
    let run: jest.SpiedFunction<AsyncLocalStorage<unknown>['run']>;
    beforeEach(() => {
      run = jest.spyOn(AsyncLocalStorage.prototype, 'run');
    });
    afterEach(() => run.mockRestore());

    it('are entered for no request, and for no task in a thread', async () => {
      const background = makeBackground({ pool: { maxThreads: 1 } });
      await inRequest(background, () => {});
      const handle = await inRequest(background, (_req, res) => res.locals.backgroundTasks.add(tasks.add, 1, 1));
      expect(await handle.settled).toMatchObject({ value: 2 });
      expect(run).not.toHaveBeenCalled();
    });

    it('are entered for a request with `ambient`', async () => {
      await inRequest(makeBackground({ ambient: true }), () => {});
      expect(run).toHaveBeenCalledTimes(1);
    });
  });
});

describe('a request that adds no task', () => {
  /** With room for all that is counted, nothing is collected meanwhile. */
  const NODE_OPTIONS = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'];
  /** In bytes. The list takes 112, on each version of Node, and an empty array 32. */
  const MOST = 130;

  it('takes no memory but that of its list: an array or a closure more would be seen', async () => {
    const bytes = JSON.parse(await runScriptWith(NODE_OPTIONS, 'script-request-bytes.mjs'));
    const taken = (name: string): number => bytes[name] - bytes.nothing;
    expect(taken('background')).toBeLessThan(MOST);
    expect(taken('background and a closure')).toBeGreaterThan(MOST);
  });
});

describe('an AbortSignal', () => {
  const oneThread = shareThread();
  const { AbortController: Original } = globalThis;
  let made = 0;
  beforeEach(() => {
    made = 0;
    globalThis.AbortController = class extends Original {
      constructor() {
        super();
        made += 1;
      }
    };
  });
  afterEach(() => {
    globalThis.AbortController = Original;
  });

  const settle = (handles: readonly TaskHandle[]): Promise<string[]> =>
    Promise.all(handles.map(async ({ settled }) => (await settled).state));

  it('is made for no task that does not read it, however the task ends', async () => {
    const background = oneThread();
    const never = (): Promise<never> => new Promise(() => {});
    const cancelled = [background.add(never), background.add(tasks.loopForEver), background.add(tasks.nothing)];
    for (const handle of cancelled) handle.cancel();
    const states = await settle([
      background.add(() => 'done'),
      background.add(() => Promise.reject(new Error('as asked'))),
      background.with({ timeout: 10 }).add(never),
      background.add(tasks.add, 1, 1),
      background.with({ timeout: 10 }).add(tasks.loopForEver),
      ...cancelled,
    ]);
    expect(states).toEqual([
      'completed',
      'failed',
      'timed-out',
      'completed',
      'timed-out',
      ...Array(3).fill('cancelled'),
    ]);
    expect(made).toBe(0);
  });

  it('is made once for a task that reads it, on the event loop', async () => {
    const background = oneThread();
    const handle = background.with({ timeout: 10 }).add(async () => {
      const signal = currentTask()?.signal as AbortSignal;
      expect(currentTask()?.signal).toBe(signal);
      await once(signal, 'abort');
    });
    expect(await settle([handle, background.add(tasks.nothing)])).toEqual(['timed-out', 'completed']);
    expect(made).toBe(1);
  });
});
