/** Attempts on Redis: when the next is made, what counts as one, and what is kept of the last. */
import { expect, it, jest } from '@jest/globals';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { startEngine } from './support/bullmq-engines.ts';
import { HELD, retryOf, taskOf } from './support/bullmq-tasks.ts';
import { starts } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { describeWithRedis, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const redis = shareRedis();

describeWithRedis('bullmq() with redis-server', () => {
  it('waits longer after each failed attempt, and keeps what the last one failed with', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(3, 100) });
    await engine.stage([task], {});
    const times: number[] = [];
    const seen = await starts(engine, 3, (_envelope, { attempt }) => {
      times.push(performance.now());
      const error = Object.assign(new TypeError(`attempt ${attempt}`), { code: 'EMAIL' });
      return { kind: 'failed', retry: true, error };
    });
    expect(seen.map(([, { attempt }]) => attempt)).toEqual([1, 2, 3]);
    expect(seen.map(([, { retryInMs }]) => retryInMs)).toEqual([100, 300, undefined]);
    // However late the second came. Redis and this process may round differently.
    const [, second = 0, third = 0] = times;
    expect(third - second).toBeGreaterThan(290);
    const found = await engine.find(task.envelope.id);
    expect(found).toMatchObject({ state: 'failed', attempts: 3 });
    expect(found?.error).toMatchObject({ name: 'TypeError', message: 'attempt 3', code: 'EMAIL' });
    expect(found?.error?.stack).toMatch(/^TypeError: attempt 3\n {4}at [\s\S]*bullmq-attempts\.test\.ts[^{]*$/);
  });

  it('finds the error of a task that failed without a message, as one of Node for a refused connection does', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(2, 600_000) });
    const error = Object.assign(new AggregateError([new Error('refused')], ''), { code: 'ECONNREFUSED' });
    await engine.stage([task], {});
    await starts(engine, 1, () => ({ kind: 'failed', error, retry: true }));
    expect(await engine.find(task.envelope.id)).toMatchObject({
      state: 'retrying',
      error: { name: 'AggregateError', message: '', code: 'ECONNREFUSED', stack: error.stack },
    });
  });

  it('does not retry what another attempt cannot fix', async () => {
    const engine = await startEngine({ connection: redis.url });
    const [fatal, next] = [taskOf({ retry: retryOf(5, 0) }), taskOf()];
    await engine.stage([fatal, next], {});
    const seen = await starts(engine, 2, ({ id }) =>
      id === fatal.envelope.id ? { kind: 'failed', retry: false, error: new RangeError('never') } : COMPLETED,
    );
    expect(seen.map(([{ id }]) => id)).toEqual([fatal.envelope.id, next.envelope.id]);
    const found = await engine.find(fatal.envelope.id);
    expect(found).toMatchObject({ state: 'failed', attempts: 1, error: { name: 'RangeError', message: 'never' } });
  });

  it.each(['DelayedError', 'WaitingError', 'UnrecoverableError'])(
    'treats an error of a task as such, whatever %s means to BullMQ',
    async (name) => {
      const engine = await startEngine({ connection: redis.url });
      const task = taskOf({ retry: retryOf(2, 0) });
      await engine.stage([task], {});
      const error = Object.assign(new Error('bullmq:rateLimitExceeded'), { name });
      await starts(engine, 2, () => ({ kind: 'failed', retry: true, error }));
      expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'failed', attempts: 2, error: { name } });
    },
  );

  it('counts no attempt for a task that was postponed', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf();
    await engine.stage([task], {});
    let postponed = 0;
    const seen = await starts(engine, 3, () => {
      postponed += 1;
      return postponed < 3 ? { kind: 'postponed', delayMs: 10 } : COMPLETED;
    });
    expect(seen.map(([, { attempt }]) => attempt)).toEqual([1, 1, 1]);
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
  });

  it('neither shortens the wait between two attempts at a late release, nor discards a task that was tried', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(2, HELD) });
    await engine.stage([task], {});
    await starts(engine, 1, () => ({ kind: 'failed', retry: true, error: new Error('once') }));
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'retrying', attempts: 1 });
    expect(await engine.release([task.envelope.id])).toEqual(['already']);
    expect(await engine.discard([task.envelope.id])).toEqual(['too-late']);
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'retrying', attempts: 1 });
  });
});
