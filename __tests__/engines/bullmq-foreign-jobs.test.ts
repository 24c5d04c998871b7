/** What others have written into the queue of bullmq(), or made of its tasks. */
import { randomUUID } from 'node:crypto';
import { expect, it, jest } from '@jest/globals';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { makeHost, startEngine } from './support/bullmq-engines.ts';
import { retryOf, taskOf } from './support/bullmq-tasks.ts';
import { type Start, starts } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { describeWithRedis, openClient, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const redis = shareRedis();

/** The data of a job as this package writes it, but for one part. */
function dataOf(changed: object): { data: string } {
  return { data: JSON.stringify({ envelope: { v: 1, args: [] }, retry: retryOf(1, 0), ...changed }) };
}

describeWithRedis('bullmq() with redis-server', () => {
  it('keeps a job that is no task as failed, and says so', async () => {
    const direct = openClient(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const { Queue } = await import('bullmq');
    const foreign = new Queue(queue, { connection: direct });
    await foreign.add('theirs', {});
    const engine = await startEngine({ connection: redis.url, queue }, host);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await host.failed;
    await working.stop();
    expect(host.errors[0]?.message).toMatch(/to be a task of express-background-tasks, got 'theirs'/);
    expect(await engine.stats()).toMatchObject({ failed: 1, waiting: 0 });
    await foreign.close();
  });

  it.each<[string, Record<string, string>]>([
    ['a name without end', { name: 'x'.repeat(1e6) }],
    ['nothing', { data: 'null' }],
    ['an envelope that is none', dataOf({ envelope: null })],
    ['no retries', dataOf({ retry: null })],
    ['retries that are no numbers', dataOf({ retry: { ...retryOf(1, 0), delay: { valueOf: 1 } } })],
    ['a text', { data: '"text"' }],
    ['attempts that are a text', { opts: JSON.stringify({ attempts: 'many' }) }],
    ['attempts that are no number at all', { opts: JSON.stringify({ attempts: { valueOf: 1, toString: 1 } }) }],
  ])(
    'keeps what others have made of a task as failed, says so in a few words, and goes on: %s',
    async (_what, made) => {
      const direct = openClient(redis.url);
      const [queue, host] = [randomUUID(), makeHost()];
      const engine = await startEngine({ connection: redis.url, queue }, host);
      const [changed, next] = [taskOf(), taskOf()];
      await engine.stage([changed], {});
      await direct.hset(`bull:${queue}:${changed.envelope.id}`, made);
      await engine.stage([next], {});
      const [[envelope]] = (await starts(engine, 1)) as [Start];
      expect(envelope.id).toBe(next.envelope.id);
      expect(host.errors).toHaveLength(1);
      expect(host.errors[0]?.message).toContain('to be a task of express-background-tasks, got');
      expect(host.errors[0]?.message.length).toBeLessThan(500);
      expect(await engine.stats()).toMatchObject({ failed: 1, waiting: 0 });
    },
  );

  it('says in a few words why a task was given up, also where others have written that', async () => {
    const direct = openClient(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: redis.url, queue }, host);
    const task = taskOf();
    await engine.stage([task], {});
    await direct.hset(`bull:${queue}:${task.envelope.id}`, 'defa', `forged\n${'x'.repeat(1e6)}`);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await host.failed;
    expect(host.errors[0]?.message).toMatch(/ is kept as failed: 'forged\\nx+'\.\.\. 999907 more characters\.$/);
    await working.stop();
  });
});
