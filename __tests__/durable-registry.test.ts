/** `durable`: the names that modules are registered by, and the tasks that it gives. */
import { describe, expect, it } from '@jest/globals';
import { durable } from 'express-background-tasks';
import type * as durableTasks from './fixtures/durable-tasks.cjs';
// Registers the name `tasks`.
import './support/durable-app.ts';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { setting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('`durable`', () => {
  it.each(['', '1st', 'a.b', 'a b', '__proto__', `a${'b'.repeat(64)}`, 7 as never])('refuses %p as a name', (name) => {
    expect(() => durable(name, fixture('durable-tasks.cjs'))).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_REGISTRY' }),
    );
  });

  it('refuses a name that stands for another module, or for the same one elsewhere', () => {
    expect(() => durable('tasks', fixture('durable-tasks.cjs'), { executor: 'process' })).toThrow(
      expect.objectContaining({
        code: 'ERR_BACKGROUND_REGISTRY',
        message: expect.stringContaining("for 'process' after 'thread'"),
      }),
    );
    expect(() => durable('tasks', fixture('arithmetic.cjs'))).toThrow(
      expect.objectContaining({
        code: 'ERR_BACKGROUND_REGISTRY',
        message: expect.stringContaining('Expected the name tasks to stand for one module'),
      }),
    );
  });

  it('gives no task for names that are read from every object: by promises, JSON and the interplay of modules', async () => {
    const { work } = setting();
    const asked = durable<typeof durableTasks>('asked', fixture('durable-tasks.cjs'));
    expect(await asked).toBe(asked);
    expect(JSON.stringify({ asked })).toBe('{"asked":{}}');
    expect((asked as { __esModule?: unknown }).__esModule).toBeUndefined();
    expect((await work()).tasks).toContain('asked.echo');
  });

  it('gives tasks for the other functions of a module that exports one of those names', async () => {
    const { work } = setting();
    durable('helped', fixture('module-with-helpers.cjs'));
    expect((await work()).tasks.filter((name) => name.startsWith('helped'))).toEqual(['helped.run']);
  });

  it.each<[string, object, string]>([
    ['a name', { name: 'other' }, '`name` is not an option of durable()'],
    ['an executor that there is not', { executor: 'engine' }, '`executor` of durable()'],
    ['a parser that is none', { parse: { echo: 'number' } }, '`parse` of durable() to be an object of functions'],
  ])('refuses %s', (_name, options, message) => {
    expect(() => durable('refused', fixture('durable-tasks.cjs'), options)).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION', message: expect.stringContaining(message) }),
    );
  });
});
