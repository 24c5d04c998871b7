import { describe, expect, it } from '@jest/globals';
import {
  type EngineHost,
  engineConformance,
  type MemoryEngine,
  memoryEngine,
  type StagedTask,
  type WorkContext,
} from 'express-background-tasks/testing/engine';
import { atEnd } from './support/cleanup.ts';
import { makeGate } from './support/gates.ts';
import { casesOf, keepsAnyValue, wrongEngines } from './support/wrong-engines.ts';

const TIMEOUT = 60_000;

const host: EngineHost = { warn: () => {}, error: () => {} };

async function started(engine: MemoryEngine): Promise<MemoryEngine> {
  await engine.start(host);
  atEnd(() => engine.close());
  return engine;
}

function taskWithId(id: string): StagedTask {
  return {
    envelope: { v: 1, id, task: 'mail.send', args: ['ada@example.com'] },
    holdMs: 0,
    priority: 0,
    retry: { attempts: 1, delay: 0, factor: 1, maxDelay: 0, jitter: 0 },
  };
}

describe('the memory engine, as any engine,', () => {
  const make = async () => {
    const engine = memoryEngine();
    return {
      engine,
      second: async () => engine.connect(),
      dispose: () => {},
    };
  };

  it.concurrent.each(engineConformance(make, { recoveryPatience: 5_000 }))(
    'conforms: $name',
    ({ run }) => run(),
    TIMEOUT,
  );
});

describe('the suite for engines', () => {
  it('tries an engine without a second connection as well', async () => {
    const cases = engineConformance(async () => ({ engine: memoryEngine(), dispose: () => {} }));
    const shared = cases.filter(({ name }) => /two at once|connection|closed engine|two workers/.test(name));
    expect(shared.length).toBeGreaterThan(4);
    await Promise.all(shared.map(({ run }) => run()));
  });

  it('names no two cases alike, and cleans up after each', async () => {
    let disposed = 0;
    const cases = engineConformance(async () => ({
      engine: memoryEngine({ intercept: () => Promise.reject(new Error('out of order')) }),
      dispose: () => {
        disposed += 1;
      },
    }));
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    const results = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(results.filter(({ status }) => status === 'fulfilled')).toEqual([]);
    expect(disposed).toBe(cases.length);
  });

  it('says what it waited for, and what the engine reported meanwhile', async () => {
    const hangs = memoryEngine({
      intercept: async (method, proceed, [first]) => {
        if (method === 'start') (first as EngineHost).error(new Error('connection lost'));
        if (method === 'release') return new Promise(() => {});
        return proceed();
      },
    });
    const [releases] = engineConformance(async () => ({ engine: hangs, dispose: () => {} }), { patience: 50 }).filter(
      ({ name }) => name === 'a released task runs, once',
    );
    await expect(releases?.run()).rejects.toThrow('Expected release() of memory to be settled within 50 ms');
    const idle = memoryEngine({
      intercept: async (method, proceed, [first]) => {
        if (method === 'start') (first as EngineHost).error(new Error('connection lost'));
        return method === 'work' ? { stop: async () => {} } : proceed();
      },
    });
    const [waits] = engineConformance(async () => ({ engine: idle, dispose: () => {} }), { patience: 50 }).filter(
      ({ name }) => name === 'a released task runs, once',
    );
    await expect(waits?.run()).rejects.toThrow(
      'Waited 50 ms in vain: 1 tasks completed. The engine reported: Error: connection lost',
    );
  });

  it.concurrent.each(wrongEngines)('fails an engine $fault', async ({ change, found, says }) => {
    const [finds, ...more] = casesOf(change, found);
    expect(more).toEqual([]);
    await expect(finds?.run()).rejects.toThrow(says);
  });

  it('lets an engine pass that keeps what JSON cannot say', async () => {
    const names = [
      'nothing of a call that failed is left when its tasks are discarded',
      'everything in an envelope arrives as it was sent',
    ];
    const cases = casesOf(keepsAnyValue, ...names);
    expect(cases.map(({ name }) => name)).toEqual(names);
    for (const { run } of cases) await run();
  });
});

describe('a memory engine of a test', () => {
  it('can refuse a call, or lose the answer', async () => {
    const lost: string[] = [];
    const engine = memoryEngine({
      intercept: async (method, proceed, args) => {
        if (method === 'release') throw new Error('refused');
        const result = await proceed();
        if (method === 'stage') {
          lost.push(...(args[0] as StagedTask[]).map(({ envelope }) => envelope.id));
          throw new Error('the answer got lost');
        }
        return result;
      },
    });
    await started(engine);
    await expect(engine.stage([taskWithId('a')], {})).rejects.toThrow('the answer got lost');
    await expect(engine.release(['a'])).rejects.toThrow('refused');
    expect(lost).toEqual(['a']);
    expect(await engine.find('a')).toMatchObject({ id: 'a', name: 'mail.send', state: 'waiting' });
  });

  it('can be intercepted on one connection only', async () => {
    const engine = await started(memoryEngine());
    const down = engine.connect({ intercept: () => Promise.reject(new Error('down')) });
    await expect(down.start(host)).rejects.toThrow('down');
    await engine.stage([taskWithId('a')], {});
    expect(await engine.stats()).toEqual({ held: 0, waiting: 1, running: 0, failed: 0 });
  });

  it('gives the tasks of a closed connection to others, and ignores later reports from it', async () => {
    const engine = await started(memoryEngine());
    const dying = await started(engine.connect());
    const gate = makeGate();
    const contexts: WorkContext[] = [];
    await dying.work(
      async (_envelope, context) => {
        contexts.push(context);
        await gate.opened;
        return { kind: 'completed', value: 'of the dead' };
      },
      { concurrency: 1 },
    );
    const second = makeGate<WorkContext>();
    await engine.stage([taskWithId('a')], {});
    expect(await engine.find('a')).toMatchObject({ state: 'running' });
    await dying.close();
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([true]);
    gate.open();
    await engine.work(
      async (_envelope, context) => {
        second.open(context);
        return { kind: 'completed', value: 'of the living' };
      },
      { concurrency: 1 },
    );
    expect(await second.opened).toMatchObject({ attempt: 2 });
    expect(await engine.find('a')).toMatchObject({ state: 'completed', value: 'of the living', attempts: 2 });
  });

  it('has to be started, and warns in production that nothing survives', async () => {
    const engine = memoryEngine();
    await expect(engine.stage([], {})).rejects.toThrow('it was not started yet');
    const warnings: string[] = [];
    const before = process.env['NODE_ENV'];
    process.env['NODE_ENV'] = 'production';
    try {
      await engine.start({ ...host, warn: (message) => warnings.push(message) });
    } finally {
      process.env['NODE_ENV'] = before;
    }
    expect(warnings).toEqual([expect.stringMatching(/they are lost when it ends/)]);
    await engine.close();
    await expect(engine.stats()).rejects.toThrow('it was closed');
  });
});
