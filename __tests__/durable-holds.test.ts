/** What an engine is asked to do with tasks that it holds, and when no further call is made. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { later } from './support/clock.ts';
import {
  type AppOptions,
  type DurableApp,
  durableApp,
  type Fault,
  localTasks,
  Transaction,
  tasks,
  until,
} from './support/durable-app.ts';
import { FAILED_CALL, NO_ANSWER } from './support/engine-faults.ts';
import { readableError } from './support/failures.ts';
import { type Gate, makeGate } from './support/gates.ts';
import type { TaskedResponse } from './support/servers.ts';
import { untilHolds, work } from './support/time.ts';

const HOLD = 40_000;
const MARGIN = 10_000;
const DURABLE = { hold: HOLD, acceptTimeout: MARGIN };
const QUICK = { hold: HOLD, acceptTimeout: 200 };
const SHORT = { hold: 3_000, acceptTimeout: 1_500 };

/** Held, until its response ends. */
interface HeldTask {
  readonly handle: TaskHandle;
  end(statusCode?: number): void;
}

interface HeldTasks {
  readonly app: DurableApp;
  /** One for each path that is asked for. */
  hold(path: string): Promise<HeldTask>;
}

interface HeldOptions extends AppOptions {
  readonly transaction?: Transaction;
}

/** Tasks in an engine without workers. With status 500 they are discarded. */
async function heldTasks({ transaction, ...options }: HeldOptions = {}): Promise<HeldTasks> {
  const gates = new Map<string, Gate<HeldTask>>();
  const app = await durableApp(
    async (req, res) => {
      const handle = res.locals.backgroundTasks.with({ transaction, when: 'success' }).add(tasks.echo);
      await handle.accepted;
      const end = (statusCode = 200): void => {
        res.statusCode = statusCode;
        res.end();
      };
      gates.get(req.url as string)?.open({ handle, end });
    },
    { durable: DURABLE, ...options },
  );
  return {
    app,
    hold(path) {
      const gate = makeGate<HeldTask>();
      gates.set(path, gate);
      void app.request(path);
      return gate.opened;
    },
  };
}

const CALLS = [
  ['release', 200],
  ['discard', 500],
] as const;

describe.each(CALLS)('a %s', (method, statusCode) => {
  it.each([
    ['is sent before the end of the hold is near', DURABLE, HOLD - MARGIN - 1_000, 1],
    ['is not sent near the end of the hold, when nobody could tell who came first', DURABLE, HOLD - MARGIN + 1, 0],
    ['is not sent in the last second, however soon a task must be accepted', QUICK, HOLD - 999, 0],
    ['is not sent in the last quarter of a short hold', SHORT, SHORT.hold * 0.75 + 1, 0],
    ['is sent before the last quarter of a short hold', SHORT, SHORT.hold * 0.5, 1],
  ])('%s', async (_when, durable, afterMs, count) => {
    const { app, hold } = await heldTasks({ durable });
    const { handle, end } = await hold('/');
    later(afterMs);
    end(statusCode);
    await handle.settled;
    await app.background.close();
    expect(app.calls(method)).toEqual(count === 0 ? [] : [[handle.id]]);
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toHaveLength(method === 'discard' ? 1 - count : 0);
  });

  it('a call that has waited behind others until the end of the hold was near is not sent', async () => {
    const mayAnswer = makeGate();
    const slow: Fault = (proceed) => mayAnswer.opened.then(proceed);
    const { app, hold } = await heldTasks({ faults: { [method]: slow } });
    const held = await Promise.all(['/1', '/2', '/3'].map(hold));
    for (const [index, { end }] of held.entries()) {
      end(statusCode);
      await untilHolds(() => app.calls(method).length >= Math.min(index + 1, 2));
    }
    await untilHolds(() => held.every(({ handle }) => handle.state !== 'waiting'));
    later(HOLD - MARGIN + 1);
    mayAnswer.open();
    await Promise.all(held.map(({ handle }) => handle.settled));
    await app.background.close();
    expect(app.calls(method)).toEqual(held.slice(0, 2).map(({ handle }) => [handle.id]));
  });
});

describe('a task that has waited only for a moment', () => {
  it('is not refused because others, which go to the engine with it, have waited long', async () => {
    const mayAnswer = makeGate();
    let calls = 0;
    const app = await durableApp(() => {}, {
      durable: DURABLE,
      faults: {
        async stage(proceed) {
          calls += 1;
          if (calls <= 2) await mayAnswer.opened;
          else await work(50);
          return proceed();
        },
      },
    });
    await app.background.ready();
    for (const count of [1, 2]) {
      app.background.add(tasks.echo);
      await untilHolds(() => app.calls('stage').length >= count);
    }
    app.background.add(tasks.echo);
    later(MARGIN - 1);
    const late = app.background.add(tasks.echo);
    mayAnswer.open();
    await expect(late.accepted).resolves.toBeUndefined();
  });
});

describe('releases', () => {
  it('a release that fails is logged, and the task runs once, when its hold is over', async () => {
    const app = await durableApp(
      async (_req, res) => {
        const { id, accepted } = res.locals.backgroundTasks.add(localTasks.echo, 1);
        await accepted;
        res.end(id);
      },
      { durable: { hold: 1_000, acceptTimeout: 500 }, faults: { release: FAILED_CALL }, work: true },
    );
    const { body: id } = await app.request();
    expect(await app.until(id, 'completed')).toMatchObject({ attempts: 1 });
    const message = expect.stringMatching(
      /to release tasks: .*: the task runs when its hold is over, at the latest\.$/,
    );
    expect(app.log.withCode('ERR_BACKGROUND_ENGINE')).toMatchObject([{ level: 'warn', task: 'local.echo', message }]);
    expect(app.background.stats().executors.engine.outcomes).toMatchObject({ completed: 1 });
  });
});

describe('a release whose error cannot be read any more when it is logged', () => {
  it('is logged all the same, and the task settles', async () => {
    const release: Fault = () => Promise.reject(readableError('code', 3));
    const { app, hold } = await heldTasks({ faults: { release } });
    const { handle, end } = await hold('/');
    end();
    expect(await handle.settled).toMatchObject({ state: 'completed' });
    expect(app.log.lines.filter(({ level }) => level !== 'debug').map(({ message }) => message)).toEqual([
      'Expected the error of task tasks.echo not to throw: read before',
    ]);
  });
});

describe('a call that the engine does not answer', () => {
  const durable = { hold: HOLD, acceptTimeout: 500 };
  const SAID = 'no answer within 1000 ms';

  it('is given up after the margin where it is a release, and the task settles', async () => {
    const { app, hold } = await heldTasks({ durable, faults: { release: NO_ANSWER } });
    const { handle, end } = await hold('/');
    end();
    expect(await handle.settled).toMatchObject({ state: 'completed' });
    const lines = app.log.withCode('ERR_BACKGROUND_ENGINE');
    expect(lines.map(({ message }) => message)).toEqual([expect.stringContaining(SAID)]);
  });

  it('is given up after the margin where it is a discard, and made again', async () => {
    let calls = 0;
    const discard: Fault = (proceed) => {
      calls += 1;
      return calls === 1 ? NO_ANSWER(proceed) : proceed();
    };
    const { app, hold } = await heldTasks({ durable, faults: { discard } });
    const { end } = await hold('/');
    end(500);
    await untilHolds(() => calls === 2);
    await app.background.close();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });
});

describe('a release of a task that is not held any more', () => {
  it('leads to a warning where the engine has lost the task, as one does that was replaced by an empty one', async () => {
    const { app, hold } = await heldTasks();
    const { handle, end } = await hold('/');
    const other = app.engine.connect();
    await other.start({ warn() {}, error() {} });
    await other.discard([handle.id]);
    end();
    const [line] = await app.log.until('ERR_BACKGROUND_ENGINE');
    expect(line).toMatchObject({ level: 'warn', task: 'tasks.echo' });
    expect(line?.message).toContain('not there any more: unless it has run meanwhile, it never will.');
    expect(await handle.settled).toMatchObject({ state: 'completed' });
  });

  it('leads to none where another has released it', async () => {
    const { app, hold } = await heldTasks();
    const { handle, end } = await hold('/');
    const other = app.engine.connect();
    await other.start({ warn() {}, error() {} });
    await other.release([handle.id]);
    end();
    await handle.settled;
    await app.background.close();
    expect(app.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});

describe('discards', () => {
  const skipping = (_req: unknown, res: TaskedResponse): void => {
    const handle = res.locals.backgroundTasks.with({ when: 'failure' }).add(tasks.echo);
    void handle.accepted.then(() => res.end(handle.id));
  };

  it('a discard that fails is tried again', async () => {
    let calls = 0;
    const app = await durableApp(skipping, {
      faults: {
        discard(proceed) {
          calls += 1;
          return calls === 1 ? FAILED_CALL(proceed) : proceed();
        },
      },
    });
    await app.request();
    await untilHolds(() => calls >= 2);
    await app.background.close();
    expect(app.calls('discard')).toHaveLength(2);
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('a discard that fails is tried for the last time just before the end of the hold is near', async () => {
    let failures = 2;
    const discard: Fault = (proceed) => {
      failures -= 1;
      return failures < 0 ? proceed() : FAILED_CALL(proceed);
    };
    const { app, hold } = await heldTasks({ durable: SHORT, faults: { discard } });
    const { end } = await hold('/');
    later(SHORT.hold / 2);
    end(500);
    await untilHolds(() => app.calls('discard').length === 3);
    await app.background.close();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('a discard whose answer was lost is not taken for one that failed', async () => {
    let calls = 0;
    const app = await durableApp(skipping, {
      faults: {
        async discard(proceed) {
          calls += 1;
          await proceed();
          if (calls === 1) throw new Error('connection lost');
          return ['too-late'];
        },
      },
    });
    await app.request();
    await untilHolds(() => calls >= 2);
    await app.background.close();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('a discard is tried again if the task may still arrive: its staging failed with an unknown result', async () => {
    let stage: () => Promise<unknown> = async () => {};
    const app = await durableApp(
      async (_req, res) => {
        const { id, accepted } = res.locals.backgroundTasks.add(tasks.echo);
        await accepted.catch(() => {});
        res.end(id);
      },
      {
        faults: {
          stage(proceed) {
            stage = proceed;
            return Promise.reject(new Error('connection lost'));
          },
        },
      },
    );
    const { body: id } = await app.request();
    await untilHolds(() => app.calls('discard').length > 0);
    await stage();
    expect(await app.find(id)).toMatchObject({ state: 'held' });
    await until(
      () => app.find(id),
      (task) => task === undefined,
    );
  });

  it.each([
    ['is logged where the engine has it all the same', (proceed: () => Promise<unknown>) => proceed(), 1],
    ['is not logged again where the engine does not have it', async () => {}, 0],
  ])('a task without a hold whose staging failed can not be discarded: that it runs %s', async (_when, take, lines) => {
    const app = await durableApp(() => {}, {
      faults: {
        async stage(proceed) {
          await take(proceed);
          throw new Error('connection lost');
        },
      },
    });
    await expect(app.background.add(tasks.echo).accepted).rejects.toThrow(/was not accepted/);
    await app.background.close();
    expect(app.calls('discard')).toEqual([]);
    const told = app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED');
    expect(told.map(({ message }) => message)).toEqual(
      Array(lines).fill(expect.stringContaining('but it was too late: it will run, or has run')),
    );
  });

  it('a discard that comes too late is logged', async () => {
    const app = await durableApp(skipping, { faults: { discard: () => Promise.resolve(['too-late']) } });
    await app.request();
    const [line] = await app.log.until('ERR_BACKGROUND_NOT_DISCARDED');
    expect(line?.message).toContain('but it was too late: it will run, or has run');
  });

  it('a discard that never works is logged near the end of the hold: the task will run', async () => {
    const app = await durableApp(skipping, { durable: DURABLE, faults: { discard: FAILED_CALL } });
    await app.request();
    await untilHolds(() => app.calls('discard').length > 0);
    later(HOLD - MARGIN + 1);
    const [line] = await app.log.until('ERR_BACKGROUND_NOT_DISCARDED');
    expect(line).toMatchObject({
      level: 'warn',
      task: 'tasks.echo',
      cause: expect.stringContaining('connection refused'),
    });
    expect(line?.message).toContain('it will run, or has run');
  });
});

describe('discards without an answer', () => {
  const lost = async (find: Fault) => {
    const { app, hold } = await heldTasks({
      faults: {
        async discard(proceed) {
          await proceed();
          throw new Error('connection lost');
        },
        find,
      },
    });
    const { end } = await hold('/');
    end(500);
    await untilHolds(() => app.calls('discard').length > 0);
    later(HOLD - MARGIN + 1);
    return app;
  };

  it('are not reported where the engine says in time that the task is gone', async () => {
    const app = await lost((proceed) => proceed());
    await app.background.close();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('are reported as possibly failed if the result is unknown', async () => {
    const app = await lost(FAILED_CALL);
    const [line] = await app.log.until('ERR_BACKGROUND_NOT_DISCARDED');
    expect(line?.message).toMatch(/connection lost: it may run, or may have run\.$/);
  });
});

describe('a response that ends before the transaction of its task is committed', () => {
  const inTransaction = async (statusCode: number, options: AppOptions = {}) => {
    const transaction = new Transaction();
    const app = await durableApp(
      async (_req, res) => {
        const { id, accepted } = res.locals.backgroundTasks.with({ transaction, when: 'success' }).add(tasks.echo);
        await accepted;
        res.statusCode = statusCode;
        res.end(id);
      },
      { durable: DURABLE, transactions: true, ...options },
    );
    const { body: id } = await app.request();
    await app.background.idle();
    return { app, id, transaction };
  };

  it('keeps a task that should not run from running, as soon as it is there', async () => {
    const { app, id, transaction } = await inTransaction(500);
    await untilHolds(() => app.calls('discard').length > 0);
    await transaction.commit();
    expect(await app.find(id)).toMatchObject({ state: 'held' });
    await until(
      () => app.find(id),
      (task) => task === undefined,
    );
    await app.background.close();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('lets a task that should run do so, as soon as it is there', async () => {
    const { app, id, transaction } = await inTransaction(200);
    expect(app.calls('release')).toEqual([[id]]);
    await transaction.commit();
    await app.until(id, 'waiting');
    await app.background.close();
    expect(app.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('keeps the task from running that is cancelled while its release is under way', async () => {
    const [transaction, mayAnswer] = [new Transaction(), makeGate()];
    const { app, hold } = await heldTasks({
      transactions: true,
      faults: {
        async release(proceed) {
          const answer = await proceed();
          await mayAnswer.opened;
          return answer;
        },
      },
      transaction,
    });
    const { handle, end } = await hold('/');
    end();
    await untilHolds(() => app.calls('release').length > 0);
    handle.cancel();
    mayAnswer.open();
    await untilHolds(() => app.calls('discard').length > 1);
    await transaction.commit();
    await until(
      () => app.find(handle.id),
      (task) => task === undefined,
    );
    expect(app.calls('release')).toEqual([[handle.id]]);
  });

  it('leads to a warning where the task, which needs no hold, is cancelled while the engine is asked to take it', async () => {
    const [transaction, mayAnswer] = [new Transaction(), makeGate()];
    const app = await durableApp(() => {}, {
      durable: DURABLE,
      transactions: true,
      faults: {
        async stage(proceed) {
          await mayAnswer.opened;
          return proceed();
        },
      },
    });
    const handle = app.background.with({ transaction }).add(tasks.echo);
    await untilHolds(() => app.calls('stage').length > 0);
    expect(handle.cancel()).toBe(true);
    mayAnswer.open();
    await handle.accepted;
    const [line] = await app.log.until('ERR_BACKGROUND_NOT_DISCARDED');
    expect(line?.message).toContain('but it was too late: it may run, or may have run');
    await transaction.commit();
    expect(await app.find(handle.id)).toMatchObject({ state: 'waiting' });
    expect(app.calls('discard')).toEqual([]);
  });

  it.each(CALLS)('leads to no warning where nothing is ever committed: a %s', async (method, statusCode) => {
    const { app, id } = await inTransaction(statusCode);
    await untilHolds(() => app.calls(method).length > 0);
    later(HOLD - MARGIN + 1);
    await app.background.close();
    expect(await app.find(id)).toBeUndefined();
    expect(app.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it.each(CALLS)(
    'has its task looked for once when the process is closed before any commit: a %s',
    async (method, statusCode) => {
      let looks = 0;
      const find: Fault = (proceed) => {
        looks += 1;
        return proceed();
      };
      const { app } = await inTransaction(statusCode, { faults: { find } });
      await untilHolds(() => app.calls(method).length > 0);
      await app.background.close();
      expect(looks).toBe(1);
    },
  );

  it('leads to a warning where it is committed too late to be withdrawn', async () => {
    const { app, transaction } = await inTransaction(500);
    await untilHolds(() => app.calls('discard').length > 0);
    later(HOLD - MARGIN + 1);
    await transaction.commit();
    const [line] = await app.log.until('ERR_BACKGROUND_NOT_DISCARDED');
    expect(line).toMatchObject({ level: 'warn', task: 'tasks.echo' });
    expect(line?.message).toContain('but it was too late: it may run, or may have run');
  });

  it('leads to a warning where it is committed too late to be released', async () => {
    const { app, id, transaction } = await inTransaction(200);
    expect(app.calls('release')).toEqual([[id]]);
    later(HOLD - MARGIN + 1);
    await transaction.commit();
    const [line] = await app.log.until('ERR_BACKGROUND_ENGINE');
    expect(line).toMatchObject({ level: 'warn', task: 'tasks.echo' });
    expect(line?.message).toContain('it runs when its hold is over');
  });

  it.each([
    ['withdrawn', 'discard', 500, 'ERR_BACKGROUND_NOT_DISCARDED', 'it may run, or may have run'],
    ['released', 'release', 200, 'ERR_BACKGROUND_ENGINE', 'it runs when its hold is over'],
  ] as const)(
    'leads to a warning where it is committed when nobody asks any more whether the task can be %s',
    async (_what, method, statusCode, code, sequel) => {
      const looked = makeGate();
      const find: Fault = async (proceed) => {
        const found = await proceed();
        looked.open();
        return found;
      };
      // The commit has a quarter of it, for a machine that is busy.
      const durable = { hold: 2_000, acceptTimeout: 500 };
      const { app, transaction } = await inTransaction(statusCode, { durable, faults: { find } });
      await untilHolds(() => app.calls(method).length > 0);
      await looked.opened;
      await transaction.commit();
      const [line] = await app.log.until(code);
      expect(line).toMatchObject({ level: 'warn', task: 'tasks.echo' });
      expect(line?.message).toContain(sequel);
    },
  );
});
