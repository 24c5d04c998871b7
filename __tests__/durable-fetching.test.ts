/** An instance that works on tasks itself, and an engine that does not let it, or is not there. */
import { describe, expect, it, jest } from '@jest/globals';
import { atEnd } from './support/cleanup.ts';
import { durableApp, tasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';
import { runScript } from './support/scripts.ts';
import { untilHolds } from './support/time.ts';

describe('an engine that lets nobody fetch tasks', () => {
  it('is asked again until it does, and the reason is logged once', async () => {
    let refusals = 2;
    const app = await durableApp(() => {}, {
      work: true,
      faults: {
        work: (proceed) => {
          refusals -= 1;
          return refusals < 0 ? proceed() : Promise.reject(new Error('no more workers'));
        },
      },
    });
    const { id } = app.background.add(tasks.echo, 1);
    await app.background.ready();
    await app.until(id, 'completed');
    expect(app.log.lines.filter(({ message }) => message === 'The engine memory: no more workers')).toHaveLength(1);
  });

  it('is not asked again by an instance that is closing', async () => {
    let calls = 0;
    const [mayRefuse, mayEnd] = [makeGate(), makeGate()];
    const app = await durableApp(() => {}, {
      work: true,
      faults: {
        work: async () => {
          calls += 1;
          await mayRefuse.opened;
          throw new Error('no more workers');
        },
      },
    });
    atEnd(mayEnd.open);
    await untilHolds(() => calls > 0);
    atEnd(() => jest.useRealTimers());
    // It would be asked again after a pause.
    jest.useFakeTimers();
    mayRefuse.open();
    app.background.add(() => mayEnd.opened);
    const closed = app.background.close({ timeout: Number.POSITIVE_INFINITY });
    await expect(app.background.ready()).rejects.toMatchObject({ code: 'ERR_BACKGROUND_CLOSED' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(calls).toBe(1);
    mayEnd.open();
    await closed;
  });

  it('is told to stop where it lets fetch them only when the instance is closing', async () => {
    const [asked, mayFetch, stopped, mayEnd] = [makeGate(), makeGate(), makeGate(), makeGate()];
    const app = await durableApp(() => {}, {
      work: true,
      faults: {
        work: async () => {
          asked.open();
          await mayFetch.opened;
          return { stop: async () => stopped.open() };
        },
      },
    });
    atEnd(mayEnd.open);
    await asked.opened;
    app.background.add(() => mayEnd.opened);
    const closed = app.background.close({ timeout: Number.POSITIVE_INFINITY });
    mayFetch.open();
    await stopped.opened;
    mayEnd.open();
    await closed;
  });
});

describe('an instance that takes no tasks, since a registered module does not load', () => {
  it('says why in the log also where ready() was asked: who asked may have gone on without it', async () => {
    const limits = { maxResultSize: 10 };
    const app = await durableApp(() => {}, { work: true, pool: limits, processes: limits });
    const waited = Promise.race([app.background.ready(), Promise.resolve('long enough')]);
    expect(await waited).toBe('long enough');
    expect((await app.log.until('ERR_BACKGROUND_REGISTRY'))[0]?.message).toMatch(
      /^The engine memory: .*`maxResultSize`/,
    );
  });
});

describe('a program whose engine cannot be reached', () => {
  it('is not kept alive by that', async () => {
    expect(await runScript('script-engine-is-down.mjs', 'web', 'Infinity')).toBe('end of script\n');
  });

  it('is, where it is a worker: it waits until it takes tasks', async () => {
    expect(await runScript('script-engine-is-down.mjs', 'worker', '2')).toBe('takes tasks\n');
  });
});
