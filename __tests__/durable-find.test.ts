/** What can be asked of an engine: for one task, whoever has added it, and how many it holds. */
import { describe, expect, it } from '@jest/globals';
import { durableApp, localTasks, Transaction, tasks } from './support/durable-app.ts';
import { FAILED_CALL } from './support/engine-faults.ts';
import { makeGate } from './support/gates.ts';

describe('`find`', () => {
  it('answers for tasks of other processes, for tasks that run here, and for what is not there', async () => {
    const one = await durableApp(() => {});
    const other = await durableApp(() => {}, { engine: one.engine, work: true });
    const { id } = one.background.add(localTasks.fail, 'no such order', 'ENOENT');
    const failed = await one.until(id, 'retrying');
    expect(failed).toMatchObject({
      attempts: 1,
      error: { name: 'RangeError', message: 'no such order', code: 'ENOENT' },
    });
    expect(await other.background.find(id)).toMatchObject({ id, name: 'local.fail' });
    const local = one.background.add(() => 1);
    await local.settled;
    expect(await one.background.find(local.id)).toMatchObject({ state: 'completed', value: 1 });
    expect(await one.background.find('nobody')).toBeUndefined();
    expect(await one.background.find(id.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')))).toBeUndefined();
  });

  it('still answers for a task of its own when it has worked on more tasks than the history keeps', async () => {
    const one = await durableApp(() => {});
    const { background } = await durableApp(() => {}, { engine: one.engine, work: true, history: 1 });
    const own = background.add(() => 1);
    await own.settled;
    const { id } = one.background.add(localTasks.echo, 'ada');
    await one.until(id, 'completed');
    expect(await background.find(own.id)).toMatchObject({ state: 'completed', value: 1 });
  });

  it('still answers for a task of its own when it has handed over more tasks than the history keeps', async () => {
    const { background } = await durableApp(() => {}, { history: 1 });
    const own = background.add(() => 1);
    await own.settled;
    expect((await background.add(tasks.echo).settled).state).toBe('completed');
    expect(await background.find(own.id)).toMatchObject({ state: 'completed', value: 1 });
  });

  it('finds a task that the engine has never accepted', async () => {
    const { background } = await durableApp(() => {}, { faults: { stage: FAILED_CALL } });
    const handle = background.add(tasks.echo);
    await handle.settled;
    expect(await background.find(handle.id)).toMatchObject({ state: 'failed', executor: 'engine' });
  });

  it('finds a task that the engine accepts just after it was asked for it', async () => {
    const [looked, handedOver] = [makeGate(), makeGate()];
    const { background } = await durableApp(() => {}, {
      faults: {
        stage: (proceed) => looked.opened.then(proceed),
        find: async (proceed) => {
          const answer = await proceed();
          looked.open();
          await handedOver.opened;
          return answer;
        },
      },
    });
    const { id, settled } = background.add(tasks.echo);
    const finding = background.find(id);
    await settled;
    handedOver.open();
    expect(await finding).toMatchObject({ id, state: 'waiting' });
  });

  it('finds nothing for a task that was handed over and that the engine does not have, such as one that was rolled back', async () => {
    const { background } = await durableApp(() => {}, { transactions: true });
    const handle = background.with({ transaction: new Transaction() }).add(tasks.echo);
    expect((await handle.settled).state).toBe('completed');
    expect(await background.find(handle.id)).toBeUndefined();
  });

  it('asks the engine for nothing but ids, whatever a route is given in their place', async () => {
    const { background } = await durableApp(() => {}, { faults: { find: FAILED_CALL } });
    const { id } = background.add(tasks.echo);
    for (const wrong of [[id], { id }, { toString: null }, `${id}\0`, undefined]) {
      expect(await background.find(wrong as string)).toBeUndefined();
    }
  });

  it('rejects if the engine does not answer', async () => {
    const { background } = await durableApp(() => {}, { faults: { find: FAILED_CALL } });
    const { id } = background.add(tasks.echo);
    await expect(background.find(id)).rejects.toMatchObject({ code: 'ERR_BACKGROUND_ENGINE', status: 503 });
  });
});

describe('`engineStats`', () => {
  it('counts what the engine holds', async () => {
    const app = await durableApp(() => {});
    await app.background.add(tasks.echo).accepted;
    expect(await app.background.engineStats()).toEqual({ held: 0, waiting: 1, running: 0, failed: 0 });
  });
});
