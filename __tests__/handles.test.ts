/** What a handle shows and does. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { type AddOptions, currentTask, type TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { untilCollected } from './support/garbage.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { inRequest } from './support/servers.ts';
import { work } from './support/time.ts';
import { threads } from './support/worker-kinds.ts';

describe('a handle', () => {
  it('has an id of its own and the name of its task', async () => {
    const [one, other] = [makeBackground(), makeBackground()];
    function named(): void {}
    const handles = [
      ...(await inRequest(one, (tasks) => [
        tasks.add(named),
        tasks.add(() => {}),
        tasks.with({ name: 'given' }).add(named),
      ])),
      ...(await inRequest(one, (tasks) => [tasks.add(named)])),
      one.add(named),
      other.add(named),
    ];
    expect(handles.map(({ name }) => name)).toEqual(['named', 'anonymous', 'given', 'named', 'named', 'named']);
    expect(new Set(handles.map(({ id }) => id)).size).toBe(handles.length);
    for (const handle of handles) expect((await handle.settled).id).toBe(handle.id);
  });

  it('shows the state of its task through its whole life', async () => {
    const background = makeBackground();
    const states: string[] = [];
    const retrying = makeGate();
    background.on('retrying', () => retrying.open());
    const release = makeGate();
    const handle = await inRequest(background, (tasks) => {
      const added: TaskHandle = tasks.with({ retry: { attempts: 2, delay: 50, jitter: 0 } }).add(async () => {
        states.push(added.state);
        if (currentTask()?.attempt === 1) throw new Error('once');
        await release.opened;
      });
      states.push(added.state);
      return added;
    });
    await retrying.opened;
    states.push(handle.state);
    release.open();
    await handle.settled;
    states.push(handle.state);
    expect(states).toEqual(['waiting', 'running', 'retrying', 'running', 'completed']);
  });

  it('settles once, with the same outcome for every caller, early or late', async () => {
    const background = makeBackground();
    const handle = background.add(() => work(1).then(() => 'value'));
    const early = handle.settled;
    const outcome = await early;
    expect(outcome).toMatchObject({
      id: handle.id,
      state: 'completed',
      value: 'value',
      executor: 'event-loop',
      attempts: 1,
    });
    expect(await handle.settled).toBe(outcome);
    expect(outcome.waitedMs).toBeGreaterThanOrEqual(0);
    expect(outcome.ranMs).toBeGreaterThanOrEqual(0);
    expect(outcome).not.toHaveProperty('response');
  });

  it('says in a log what it is', async () => {
    const handle = makeBackground().add(function named() {});
    await handle.settled;
    expect(inspect(handle)).toBe(`TaskHandle { id: '${handle.id}', name: 'named', state: 'completed' }`);
    expect(inspect({ of: { the: { order: handle } } }, { depth: 2 })).toBe('{ of: { the: { order: [TaskHandle] } } }');
  });

  it('becomes JSON that a client may see', () => {
    const background = makeBackground();
    const handle = background.add(function secret(_password: string) {}, 'swordfish');
    expect(JSON.parse(JSON.stringify({ task: handle }))).toEqual({
      task: { id: handle.id, name: 'secret', state: 'completed' },
    });
  });

  describe('when it is cancelled', () => {
    it('before the task starts, keeps it from starting', async () => {
      const background = makeBackground();
      const ran: string[] = [];
      const reason = new Error('the order was withdrawn');
      const [first, second] = await inRequest(background, (tasks) => {
        const handles = [tasks.add(() => ran.push('cancelled')), tasks.add(() => ran.push('kept'))] as const;
        expect(handles[0].cancel(reason)).toBe(true);
        expect(handles[0].state).toBe('cancelled');
        expect(handles[0].cancel()).toBe(false);
        return handles;
      });
      const outcome = await first.settled;
      expect(outcome).toMatchObject({ state: 'cancelled', attempts: 0, error: { code: 'ERR_BACKGROUND_CANCELLED' } });
      expect(outcome.error?.cause).toBe(reason);
      expect(outcome).not.toHaveProperty('response');
      await second.settled;
      expect(ran).toEqual(['kept']);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2 });
    });

    it('is no failure: `onError` is not called, and its line in the log is an `info`', async () => {
      const told: unknown[] = [];
      const { logger, lines } = openLogBook();
      const background = makeBackground({ logger, onError: (error) => told.push(error) });
      const handle = background.add(() => new Promise(() => {}));
      handle.cancel();
      await handle.settled;
      expect(lines).toMatchObject([{ level: 'info', code: 'ERR_BACKGROUND_CANCELLED' }]);
      expect(told).toEqual([]);
    });

    it('in its turn, or by the `when` of another, says how its response ended', async () => {
      const background = makeBackground();
      const gate = makeGate();
      const [asked, first, second] = await inRequest(background, (tasks) => {
        const when = (): boolean => cancelled.cancel();
        const handles = [
          tasks.with({ when }).add(() => gate.opened),
          tasks.add(() => {}),
          tasks.add(() => {}),
        ] as const;
        const [, cancelled] = handles;
        return handles;
      });
      expect(await first.settled).toMatchObject({ state: 'cancelled', response: { ended: 'sent', statusCode: 200 } });
      expect([asked.state, second.state]).toEqual(['running', 'waiting']);
      second.cancel();
      expect(await second.settled).toMatchObject({ state: 'cancelled', response: { ended: 'sent', statusCode: 200 } });
      gate.open();
      await asked.settled;
    });

    it.each([
      ['an error', new Error('the order was withdrawn'), ': the order was withdrawn.'],
      ['an error whose message is a sentence', new Error('The order was withdrawn.'), ': The order was withdrawn.'],
      ['a text', 'no longer wanted', ": 'no longer wanted'."],
      ['nothing', undefined, '.'],
    ])('says in one sentence why, with %s as the reason', async (_what, reason, because) => {
      const handle = makeBackground().add(async function order() {
        await once(currentTask()?.signal as AbortSignal, 'abort');
      });
      handle.cancel(reason);
      expect((await handle.settled).error?.message).toBe(`Task order was cancelled${because}`);
    });

    it('while the task runs, aborts its signal with the reason', async () => {
      const background = makeBackground();
      const aborted = makeGate<unknown>();
      const handle = background.add(async () => {
        const signal = currentTask()?.signal as AbortSignal;
        expect(signal.aborted).toBe(false);
        await once(signal, 'abort');
        aborted.open(signal.reason);
      });
      expect(handle.state).toBe('running');
      expect(handle.cancel('no longer wanted')).toBe(true);
      const reason = await aborted.opened;
      expect(reason).toMatchObject({ code: 'ERR_BACKGROUND_CANCELLED', cause: 'no longer wanted' });
      const outcome = await handle.settled;
      expect(outcome).toMatchObject({ state: 'cancelled', attempts: 1 });
      expect(outcome.error).toBe(reason);
    });

    it('shows the abort to a task that looks at its signal only afterwards', async () => {
      const background = makeBackground();
      const goOn = makeGate();
      const seen = makeGate<unknown>();
      const handle = background.add(async () => {
        await goOn.opened;
        seen.open(currentTask()?.signal.reason);
      });
      handle.cancel();
      goOn.open();
      expect(await seen.opened).toMatchObject({ code: 'ERR_BACKGROUND_CANCELLED' });
    });

    it('is settled as cancelled, whatever the task then does', async () => {
      const background = makeBackground();
      const goOn = makeGate();
      const over = makeGate();
      const handle = background.add(async () => {
        await goOn.opened;
        over.open();
        throw new Error('too late to matter');
      });
      handle.cancel();
      const outcome = await handle.settled;
      goOn.open();
      await over.opened;
      await background.idle();
      expect(await handle.settled).toBe(outcome);
      expect(background.stats()).toMatchObject({ added: 1, settled: 1, outcomes: { cancelled: 1, failed: 0 } });
    });

    it('between two attempts, keeps it from the next', async () => {
      const background = makeBackground();
      const attempts: unknown[] = [];
      const retrying = makeGate();
      background.on('retrying', () => retrying.open());
      const handle = background.with({ retry: { attempts: 3, delay: 60_000 } }).add(() => {
        attempts.push(currentTask()?.attempt);
        throw new Error('again');
      });
      await retrying.opened;
      expect(handle.cancel()).toBe(true);
      expect(await handle.settled).toMatchObject({ state: 'cancelled', attempts: 1 });
      expect(attempts).toEqual([1]);
      await background.idle();
    });

    it('calls listeners in the async context of the task, not of the code that cancels', async () => {
      const storage = new AsyncLocalStorage<string>();
      const background = makeBackground({ ...threads.options(1), retry: { attempts: 2, delay: 60_000 } });
      const told: unknown[] = [];
      background.on('settled', ({ name }) => told.push([name, storage.getStore()]));
      const failing = storage.run('of ada', () =>
        background.add(function fails() {
          throw new Error('at first');
        }),
      );
      const waiting = storage.run('of ada', () => background.add(threads.tasks.nothing));
      while (failing.state !== 'retrying') await work(1);
      storage.run('of grace', () => [waiting, failing].map((handle) => handle.cancel()));
      await background.idle();
      expect(told).toEqual([
        ['nothing', undefined],
        ['fails', 'of ada'],
      ]);
    });

    it('after the task has settled, changes nothing and says so', async () => {
      const background = makeBackground();
      const handle = background.add(() => 'done');
      const outcome = await handle.settled;
      expect(handle.cancel()).toBe(false);
      expect(handle.state).toBe('completed');
      expect(await handle.settled).toBe(outcome);
    });

    it('in a listener of `added`, does not run, and settles once', async () => {
      const background = makeBackground();
      const ran: string[] = [];
      background.on('added', ({ id }) => {
        (background.find(id) as TaskHandle).cancel();
      });
      const detached = background.add(() => ran.push('detached'));
      const [listed] = await inRequest(background, (tasks) => [tasks.add(() => ran.push('listed'))]);
      const outcomes = await Promise.all([detached.settled, listed?.settled]);
      await background.idle();
      expect(outcomes).toMatchObject([{ state: 'cancelled' }, { state: 'cancelled' }]);
      expect(ran).toEqual([]);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2, waiting: 0, outcomes: { cancelled: 2 } });
    });

    it.each<[string, () => boolean]>([
      ['false', () => false],
      ['true', () => true],
      [
        'nothing, but throws',
        () => {
          throw new Error('undecided');
        },
      ],
    ])('in its own `when`, that answers %s, settles once as cancelled', async (_what, answer) => {
      const background = makeBackground();
      const ran: string[] = [];
      const handle = await inRequest(background, (tasks) => {
        const when = (): boolean => {
          added.cancel();
          return answer();
        };
        const added: TaskHandle = tasks.with({ when }).add(() => ran.push('cancelled'));
        tasks.add(() => ran.push('the next'));
        return added;
      });
      await background.idle();
      expect(handle.state).toBe('cancelled');
      expect(ran).toEqual(['the next']);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2, outcomes: { cancelled: 1, completed: 1 } });
    });

    it('in its own `retryIf`, is not tried again, and settles once as cancelled', async () => {
      const background = makeBackground();
      const attempts: unknown[] = [];
      const retryIf = (): boolean => handle.cancel();
      const handle: TaskHandle = background.with({ retry: { attempts: 3, delay: 0, retryIf } }).add(async () => {
        attempts.push(currentTask()?.attempt);
        await work(1);
        throw new Error('again');
      });
      await handle.settled;
      await background.idle();
      expect(handle.state).toBe('cancelled');
      expect(attempts).toEqual([1]);
      expect(background.stats()).toMatchObject({ added: 1, settled: 1, retrying: 0, outcomes: { cancelled: 1 } });
    });

    it('in a listener of `started`, never begins, and settles once as cancelled', async () => {
      const background = makeBackground();
      background.on('started', ({ id }) => {
        (background.find(id) as TaskHandle).cancel();
      });
      let hasBegun = false;
      const handle = background.add(() => {
        hasBegun = true;
        return work(1);
      });
      expect((await handle.settled).state).toBe('cancelled');
      expect(hasBegun).toBe(false);
      await background.idle();
      expect(background.stats()).toMatchObject({ added: 1, settled: 1, running: 0, outcomes: { cancelled: 1 } });
    });
  });
});

function throwNothing(): never {
  throw null;
}

describe('a handle that is kept', () => {
  it.each<[string, AddOptions, (handle: TaskHandle) => unknown, () => unknown]>([
    ['completed', {}, () => {}, () => 'value'],
    ['failed', {}, () => {}, () => Promise.reject(new Error('refused'))],
    ['failed', {}, () => {}, () => throwNothing()],
    ['failed', { when: () => throwNothing() }, () => {}, () => {}],
    ['skipped', { when: 'failure' }, () => {}, () => {}],
    ['cancelled', {}, (handle) => handle.cancel(new Error('not needed')), () => {}],
    ['timed-out', { timeout: 10 }, () => {}, () => new Promise(() => {})],
  ])(
    'of a task that has settled as %s, keeps neither the response in memory nor what the task could reach',
    async (state, options, prepare, run) => {
      const background = makeBackground();
      const { handle, references } = await inRequest(background, (tasks, res) => {
        const reached = { res };
        const added = tasks.with(options).add(() => (reached.res.writableFinished ? run() : undefined));
        prepare(added);
        return { handle: added, references: [new WeakRef<object>(res), new WeakRef<object>(reached)] };
      });
      expect(await handle.settled).toMatchObject({ id: handle.id, state });
      for (const reference of references) await untilCollected(reference);
      expect(handle).toMatchObject({ state, name: 'anonymous' });
      expect(background.find(handle.id)).toBe(await handle.settled);
      expect(handle.cancel()).toBe(false);
    },
  );
});
