/** The option `when`: after which ends of a response a task runs. */
import { describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  type Outcome,
  type TaskList,
  type When,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { inRequest } from './support/servers.ts';

expectNoProcessFaults();

const moduleUrl = fixture('thread-tasks.mjs');
type ThreadTasks = typeof import('./fixtures/thread-tasks.mjs');

/** One request, answered with `statusCode` after the handler has added its tasks; resolves when they have settled. */
async function respond(
  background: BackgroundTasks,
  addTasks: (list: TaskList) => void,
  statusCode = 200,
): Promise<void> {
  await inRequest(background, (list, res) => {
    addTasks(list);
    res.statusCode = statusCode;
  });
  await background.idle();
}

describe('the option `when`', () => {
  it.each<[number, string[]]>([
    [200, ['always', 'success']],
    [302, ['always', 'success']],
    [399, ['always', 'success']],
    [400, ['always', 'failure']],
    [404, ['always', 'failure']],
    [500, ['always', 'failure']],
  ])('after a response with status %d', async (statusCode, expected) => {
    const background = makeBackground();
    const ran: string[] = [];
    await respond(
      background,
      (list) => {
        for (const when of ['always', 'success', 'failure'] as const) {
          list.with({ when }).add(() => {
            ran.push(when);
          });
        }
      },
      statusCode,
    );
    expect(ran).toEqual(expected);
    expect(background.stats().outcomes.skipped).toBe(1);
  });

  it('may be a function, which is given the end of the response', async () => {
    const background = makeBackground();
    const ends: unknown[] = [];
    const outcomes: Outcome[] = [];
    background.on('settled', (outcome) => outcomes.push(outcome));
    const decide =
      (answer: unknown): When =>
      ({ ended, statusCode, res }) => {
        ends.push({ ended, statusCode, hasEnded: res.writableEnded });
        return answer as boolean;
      };
    await respond(
      background,
      (list) => {
        list.with({ name: 'yes', when: decide(true) }).add(() => {});
        list.with({ name: 'no', when: decide(false) }).add(() => {});
        list.with({ name: 'nothing', when: decide(undefined) }).add(() => {});
      },
      201,
    );
    const end = { ended: 'sent', statusCode: 201, hasEnded: true };
    expect(ends).toEqual([end, end, end]);
    const states = Object.fromEntries(outcomes.map(({ name, state }) => [name, state]));
    expect(states).toEqual({ yes: 'completed', no: 'skipped', nothing: 'skipped' });
    expect(outcomes.every(({ response }) => response?.statusCode === 201)).toBe(true);
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('the hook is broken');
      },
      'the hook is broken',
    ],
    [
      'throws no error',
      () => {
        throw null;
      },
      'null',
    ],
    ['promises an answer', () => Promise.resolve(true), 'when'],
    ['rejects', () => Promise.reject(new Error('the hook is broken')), 'when'],
  ])('fails the task and no other where it %s', async (_what, when, message) => {
    const background = makeBackground();
    let calls = 0;
    const outcomes: Outcome[] = [];
    background.on('settled', (outcome) => outcomes.push(outcome));
    await respond(background, (list) => {
      list.add(() => 'before');
      list.with({ name: 'asked', when: when as When }).add(() => {
        calls += 1;
      });
      list.add(() => 'after');
    });
    expect(calls).toBe(0);
    expect(outcomes.map(({ state }) => state).sort()).toEqual(['completed', 'completed', 'failed']);
    const failed = outcomes.find(({ state }) => state === 'failed') as Outcome;
    expect(failed).toMatchObject({ name: 'asked', attempts: 0, response: { statusCode: 200 } });
    expect(codeOf(failed)).toBe('ERR_BACKGROUND_HOOK');
    expect(failed.error?.message).toContain(message);
  });

  describe.each(['sequential', 'parallel'] as const)('in %s order', (order) => {
    const broken = (): never => {
      throw new Error('the hook is broken');
    };

    /** What becomes of each task by its name, and which of them ran. */
    function watch(options: BackgroundTasksOptions): {
      background: BackgroundTasks;
      states: Record<string, Outcome['state']>;
      ran: string[];
      add: (list: TaskList, name: string, when?: When) => void;
    } {
      const background = makeBackground({ ...options, order });
      const states: Record<string, Outcome['state']> = {};
      const ran: string[] = [];
      background.on('settled', ({ name, state }) => {
        states[name] = state;
      });
      const add = (list: TaskList, name: string, when?: When): void => {
        list.with({ name, when }).add(() => ran.push(name));
      };
      return { background, states, ran, add };
    }

    it.each<[string, Outcome['state'], (add: () => void) => { when: When; onError?: () => void }]>([
      ['`when` that says yes', 'completed', (add) => ({ when: () => [add()].length > 0 })],
      ['`when` that says no', 'skipped', (add) => ({ when: () => [add()].length === 0 })],
      ['`onError`', 'failed', (add) => ({ when: broken, onError: add })],
    ])('is called for every task before any starts, though %s adds another', async (_who, state, arrange) => {
      let addAnother = (): void => {};
      const { when, ...options } = arrange(() => addAnother());
      const { background, states, ran, add } = watch(options);
      await respond(background, (list) => {
        addAnother = () => add(list, 'another');
        add(list, 'first', when);
        add(list, 'second', 'failure');
      });
      expect(states).toEqual({ first: state, second: 'skipped', another: 'completed' });
      expect(ran).toEqual(state === 'completed' ? ['first', 'another'] : ['another']);
    });

    it('is called for every task before any starts, though a listener of `settled` adds another', async () => {
      const { background, states, ran, add } = watch({});
      await respond(background, (list) => {
        background.on('settled', ({ name }) => {
          if (name === 'first') add(list, 'another');
        });
        add(list, 'first', 'failure');
        add(list, 'second', 'failure');
      });
      expect(states).toEqual({ first: 'skipped', second: 'skipped', another: 'completed' });
      expect(ran).toEqual(['another']);
    });

    it('keeps a task that is added late from running, though it adds another when it is called', async () => {
      const { background, states, ran, add } = watch({});
      let list: TaskList | undefined;
      await respond(background, (tasks) => {
        list = tasks;
        add(tasks, 'early');
      });
      const late = list as TaskList;
      add(late, 'late', () => [add(late, 'another')].length === 0);
      await background.idle();
      expect(states).toEqual({ early: 'completed', late: 'skipped', another: 'completed' });
      expect(ran).toEqual(['early', 'another']);
    });
  });

  it('is not called for a task without a response', async () => {
    const background = makeBackground({ when: 'failure' });
    const when = jest.fn(() => false);
    expect((await background.add(() => 'ran').settled).value).toBe('ran');
    expect((await background.with({ when }).add(() => 'ran').settled).value).toBe('ran');
    expect(when).not.toHaveBeenCalled();
  });

  it('keeps blocking tasks from running as well', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const tasks = blocking<ThreadTasks>(moduleUrl, { when: 'failure' });
    await respond(background, (list) => list.add(tasks.add, 1, 2));
    expect(background.stats()).toMatchObject({ outcomes: { skipped: 1 }, executors: { thread: { threads: 0 } } });
  });
});
