/** Events: what listeners and the diagnostics channels are told, and which listeners are refused. */
import diagnostics from 'node:diagnostics_channel';
import { describe, expect, it } from '@jest/globals';
import {
  type BackgroundTaskEvents,
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  currentTask,
  type Task,
  type TaskHandle,
} from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { SENT, thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { inRequest } from './support/servers.ts';

expectNoProcessFaults();

const blockingTasks = blocking<typeof import('./fixtures/blocking-tasks.mjs')>(fixture('blocking-tasks.mjs'));

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

  it('reaches a listener that cancels all others, a thousand of them, at the end of each', async () => {
    const background = makeBackground();
    const handles = Array.from({ length: 1_000 }, () => background.add(() => new Promise(() => {})));
    let heard = 0;
    background.on('settled', () => {
      heard += 1;
      for (const handle of handles) handle.cancel('one of them did not complete');
    });
    handles[0]?.cancel();
    await background.idle();
    expect(heard).toBe(handles.length);
    expect(background.stats()).toMatchObject({ running: 0, outcomes: { cancelled: handles.length } });
  });

  it.each<[string, BackgroundTasksOptions, Task<[]>]>([
    ['which a test only records', { mode: 'record' }, () => {}],
    ['for which no thread can start', { pool: { execArgv: ['--no-such-flag'] } }, blockingTasks.nothing],
  ])('reaches a listener that adds another at the end of each, hundreds of tasks %s', async (_which, options, task) => {
    const background = makeBackground(options);
    const ends = 500;
    let heard = 0;
    let heardAtTurn: number | undefined;
    setImmediate(() => {
      heardAtTurn = heard;
    });
    background.on('settled', () => {
      heard += 1;
      if (heard < ends) background.add(task);
    });
    background.add(task);
    await background.idle();
    expect(heard).toBe(ends);
    expect(background.stats()).toMatchObject({ added: ends, settled: ends });
    // The event loop has turned meanwhile.
    expect(heardAtTurn).toBeLessThan(ends);
  });

  it('reaches a listener that another has added from the next event on', async () => {
    const background = makeBackground();
    const told: string[] = [];
    const second = ({ name }: { readonly name: string }): void => void told.push(`second: ${name}`);
    background.on('settled', ({ name }) => {
      told.push(`first: ${name}`);
      background.on('settled', second);
    });
    await background.with({ name: 'one' }).add(() => {}).settled;
    await background.with({ name: 'other' }).add(() => {}).settled;
    expect(told).toEqual(['first: one', 'first: other', 'second: other']);
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
});

describe('on() and off()', () => {
  it.each(['start', 'error', '', 'constructor', undefined, null, 1, {}])(
    'refuse an event that does not exist: %p',
    (event) => {
      const background = makeBackground();
      for (const call of [background.on, background.off]) {
        const { code, message } = thrownBy(() => call(event as never, () => {}));
        expect(code).toBe('ERR_BACKGROUND_OPTION');
        expect(message).toContain('added, started, retrying, settled, blocked');
      }
    },
  );

  it.each(['f', 1, null, true, {}, [], undefined])('refuse a listener that is no function: %p', (listener) => {
    const background = makeBackground();
    for (const call of [background.on, background.off]) {
      const { code, message } = thrownBy(() => call('settled', listener as never));
      expect(code).toBe('ERR_BACKGROUND_OPTION');
      expect(message).toContain("'settled'");
    }
  });
});
