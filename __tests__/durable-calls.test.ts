/** How few calls the tasks of a response need: they go to the engine together, in order, and as far as they are small. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { durableApp, Transaction, tasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';

const MIB = 2 ** 20;

describe('the tasks of one response', () => {
  it('are staged in one call and released in one call, in the order added', async () => {
    const app = await durableApp(async (_req, res) => {
      const handles = [1, 2, 3].map((value) => res.locals.backgroundTasks.add(tasks.echo, value));
      await Promise.all(handles.map(({ accepted }) => accepted));
      res.end(handles.map(({ id }) => id).join());
    });
    const ids = (await app.request()).body.split(',');
    await app.background.idle();
    expect([app.calls('stage'), app.calls('release')]).toEqual([[ids], [ids]]);
    expect([...ids].sort()).toEqual(ids);
  });

  it('are handed over without waiting for those that run here, and the other way round', async () => {
    const order: string[] = [];
    const mayEnd = makeGate();
    const released = makeGate();
    const app = await durableApp((_req, res) => {
      const list = res.locals.backgroundTasks;
      list.add(async () => {
        order.push('first');
        await mayEnd.opened;
      });
      void list.add(tasks.echo).settled.then(() => released.open());
      list.add(() => order.push('last'));
      res.end();
    });
    await app.request();
    await released.opened;
    expect(order).toEqual(['first']);
    mayEnd.open();
    await app.background.idle();
    expect(order).toEqual(['first', 'last']);
  });

  it('wait behind calls that are under way, and then go together', async () => {
    const gates = [makeGate(), makeGate(), makeGate()];
    let call = 0;
    const app = await durableApp(() => {}, {
      faults: { stage: (proceed) => (gates[call++] as (typeof gates)[number]).opened.then(proceed) },
    });
    const { background } = app;
    await background.ready();
    const handles: TaskHandle[] = [];
    for (let count = 0; count < 6; count += 1) {
      handles.push(background.add(tasks.echo, count));
      await new Promise(setImmediate);
    }
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1, 1]);
    for (const { open } of gates) open();
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1, 1, 4]);
  });

  it('in a transaction go one call after the other: its client runs one statement at a time', async () => {
    const mayAnswer = makeGate();
    const app = await durableApp(() => {}, {
      transactions: true,
      faults: { stage: (proceed) => mayAnswer.opened.then(proceed) },
    });
    await app.background.ready();
    const list = app.background.with({ transaction: new Transaction() });
    const handles: TaskHandle[] = [];
    for (let count = 0; count < 3; count += 1) {
      handles.push(list.add(tasks.echo, count));
      await new Promise(setImmediate);
    }
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1]);
    mayAnswer.open();
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1, 2]);
  });

  it('go together as far as they are small: what is large needs a call of its own', async () => {
    const app = await durableApp(() => {}, { durable: { maxArgumentsSize: 3 * MIB } });
    const addAll = (args: readonly string[]): TaskHandle[] => args.map((arg) => app.background.add(tasks.echo, arg));
    const half = 'é'.repeat(MIB / 4);
    const handles = addAll(['', half.slice(100), half.slice(100), '', half, 'b'.repeat(2 * MIB), '', '']);
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([4, 1, 1, 2]);
    expect(app.calls('stage').flat()).toEqual(handles.map(({ id }) => id));
  });

  it('go together up to five hundred', async () => {
    const app = await durableApp(() => {});
    const handles = Array.from({ length: 501 }, (_, index) => app.background.add(tasks.echo, index));
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([500, 1]);
  });

  it('count with their context', async () => {
    const app = await durableApp(
      (_req, res) => {
        for (const value of [1, 2, 3]) res.locals.backgroundTasks.add(tasks.echo, value);
        res.end();
      },
      { durable: { maxArgumentsSize: MIB }, context: () => 'c'.repeat(0.4 * MIB) },
    );
    await app.request();
    await app.background.idle();
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([2, 1]);
  });
});
