/** Options that have no meaning for a task, and engines that are none or are taken: they are refused at once. And what an engine may tell. */
import { describe, expect, it } from '@jest/globals';
import { backgroundTasks } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { tasks } from './support/durable-app.ts';
import { openLogBook } from './support/log-book.ts';
import { thrownBy } from './support/outcomes.ts';

describe('options that have no meaning for a task', () => {
  it.each<[string, string, () => unknown]>([
    [
      'a transaction on an engine without transactions',
      'with an engine that has transactions, got memory',
      () => makeBackground({ engine: memoryEngine() }).with({ transaction: {} }).add(tasks.echo),
    ],
    [
      'a transaction for a task that is not durable',
      'a durable task on an engine',
      () =>
        makeBackground({ engine: memoryEngine() })
          .with({ transaction: {} })
          .add(() => 1),
    ],
    [
      'a transaction without an engine',
      'a durable task on an engine',
      () => makeBackground().with({ transaction: {} }).add(tasks.echo),
    ],
    [
      '`retryIf` at `add`, with an engine',
      'to be given to durable(), got it in with()',
      () =>
        makeBackground({ engine: memoryEngine() })
          .with({ retry: { retryIf: () => true } })
          .add(tasks.echo),
    ],
    [
      '`retryIf` at `add`, without one',
      'to be given to durable(), got it in with()',
      () =>
        makeBackground({ logger: false })
          .with({ retry: { retryIf: () => true } })
          .add(tasks.echo),
    ],
    [
      'a name at `add`, with an engine',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ engine: memoryEngine() }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'a name at `add`, without one',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ logger: false }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'a name at `add`, in a test',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ engine: memoryEngine(), mode: 'record' }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'an executor at `add`, with an engine',
      'Expected `executor` of task tasks.echo to be given to durable(), got it in with()',
      () => makeBackground({ engine: memoryEngine() }).with({ executor: 'process' }).add(tasks.echo),
    ],
    [
      'an executor at `add`, without one',
      'Expected `executor` of task tasks.echo to be given to durable(), got it in with()',
      () => makeBackground({ logger: false }).with({ executor: 'thread' }).add(tasks.echo),
    ],
    ['`work` without an engine', 'Expected `engine`', () => backgroundTasks({ work: true })],
    ['an engine that is none', 'to be an engine, such as', () => backgroundTasks({ engine: {} as never })],
    [
      'an engine that another instance has',
      'got a memory engine that another one uses or has used',
      () => {
        const engine = memoryEngine();
        makeBackground({ engine });
        makeBackground({ engine });
      },
    ],
  ])('are refused: %s', (_name, message, call) => {
    const error = thrownBy(call);
    expect(error.code).toBe('ERR_BACKGROUND_OPTION');
    expect(error.message).toContain(message);
  });
});

describe('an engine', () => {
  it('may tell of whatever it has caught, be it no error or one that cannot be read', async () => {
    const unreadable = Object.defineProperty(new Error('lost'), 'code', {
      get() {
        throw new Error('not to be read');
      },
    });
    const engine = memoryEngine();
    const start = engine.start.bind(engine);
    engine.start = async (host) => {
      for (const caught of [unreadable, 'no more room', undefined]) host.error(caught as Error);
      await start(host);
    };
    const log = openLogBook();
    const background = backgroundTasks({ engine, logger: log.logger });
    atEnd(() => background.close());
    await background.ready();
    expect(log.withCode('ERR_BACKGROUND_NOT_AN_ERROR')).toHaveLength(3);
    expect(log.lines[1]?.message).toMatch(/^The engine memory: .*'no more room'/);
  });

  it('can be given again where backgroundTasks() has failed', async () => {
    const engine = memoryEngine();
    const pool = { minThreads: 1, execArgv: ['--no-such-option'] };
    expect(thrownBy(() => backgroundTasks({ engine, pool })).code).toBe('ERR_BACKGROUND_THREAD_START');
    const background = backgroundTasks({ engine });
    await background.ready();
    await background.close();
  });
});
