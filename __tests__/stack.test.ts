/** Code of the application that adds tasks in an endless recursion: the stack runs out somewhere within `add`. */
import { describe, expect, it } from '@jest/globals';
import type { BackgroundTasks, Task } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { inRequest } from './support/servers.ts';
import { threads } from './support/worker-kinds.ts';

expectNoProcessFaults();

/** Each begins at another depth, so that the stack runs out in another place. */
const ROUNDS = 10;

/** One for all: the stack of each would have to be written out. */
const ERROR = new Error('as asked');

const functions: readonly (readonly [string, Task<[]>])[] = [
  ['functions', () => {}],
  [
    'functions that throw',
    () => {
      throw ERROR;
    },
  ],
];

const tasks: readonly (readonly [string, Task<[]>])[] = [
  ...functions,
  ['asynchronous functions', async () => {}],
  ['blocking tasks', threads.tasks.nothing],
];

/** Its thread is ready: it is given tasks while others are added. */
async function makeRoomy(): Promise<BackgroundTasks> {
  const background = makeBackground({ ...threads.options(1), maxBacklog: Number.MAX_SAFE_INTEGER });
  await background.add(threads.tasks.nothing).settled;
  return background;
}

function addWithoutEnd(to: Pick<BackgroundTasks, 'with'>, task: Task<[]>): void {
  for (let round = 0; round < ROUNDS; round += 1) {
    // The first task of a priority takes other steps than the next.
    const adder = to.with({ priority: round });
    const again = (): void => {
      adder.add(task);
      again();
    };
    const from = (depth: number): void => (depth === 0 ? again() : from(depth - 1));
    expect(() => from(round)).toThrow('call stack');
  }
}

async function expectToBeWhole(background: BackgroundTasks): Promise<void> {
  await background.idle();
  const { added, settled, backlog } = background.stats();
  expect({ settled, size: backlog.size }).toEqual({ settled: added, size: 0 });
  expect((await background.add(threads.tasks.add, 1, 2).settled).value).toBe(3);
  expect((await background.close({ timeout: Number.POSITIVE_INFINITY })).abandoned).toEqual([]);
}

describe('an endless recursion', () => {
  it.each(tasks)('that adds %s loses none that add() has taken', async (_kind, task) => {
    const background = await makeRoomy();
    addWithoutEnd(background, task);
    await expectToBeWhole(background);
  });

  it.each(functions)(
    'that adds %s to a response that has ended loses none that add() has taken',
    async (_kind, task) => {
      const background = await makeRoomy();
      const list = await inRequest(background, (added) => {
        added.add(() => {});
        return added;
      });
      await background.idle();
      addWithoutEnd(list, task);
      await expectToBeWhole(background);
    },
  );
});
