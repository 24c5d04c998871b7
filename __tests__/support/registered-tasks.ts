/** Durable tasks of further modules than those of a durable app: in processes, and with arguments that are checked. */
import { durable } from 'express-background-tasks';
import type * as durableTasks from '../fixtures/durable-tasks.cjs';
import { readableError } from './failures.ts';
import { fixture } from './fixtures.ts';

export const isolated = durable<typeof durableTasks>('isolated', fixture('durable-tasks.cjs'), { executor: 'process' });
export const checked = durable<typeof durableTasks>('checked', fixture('durable-tasks.cjs'), {
  executor: 'event-loop',
  retry: { retryIf: (error) => error.code === 'EAGAIN' },
  parse: {
    echo(args) {
      if (typeof args[0] !== 'number') throw new TypeError(`expected a number, got ${args[0]}`);
      return args.map((arg) => Number(arg) + 1);
    },
    fail: (args) => args as [string],
    spinForEver() {
      throw readableError('code', 2);
    },
    // As a parser in JavaScript may be written.
    describeItself: (() => Promise.reject(new TypeError('looked up too late'))) as never,
  },
});
