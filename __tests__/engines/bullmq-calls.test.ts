/** What the calls of bullmq() send to Redis, and what they answer. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { inspect } from 'node:util';
import { expect, it, jest } from '@jest/globals';
import type { StagedTask } from 'express-background-tasks/testing/engine';
import { atEnd } from '../support/cleanup.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { startEngine } from './support/bullmq-engines.ts';
import { HELD, taskOf } from './support/bullmq-tasks.ts';
import { starts } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { openRelay } from './support/relay.ts';
import { describeWithRedis, openClient, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const redis = shareRedis();

describeWithRedis('bullmq() with redis-server', () => {
  it('holds a task as long as it is told to also where the clock here was set back since Redis was asked for its own', async () => {
    const direct = openClient(redis.url);
    const queue = randomUUID();
    const engine = await startEngine({ connection: redis.url, queue });
    const setBack = Date.now() - 3_600_000;
    const clock = jest.spyOn(Date, 'now').mockReturnValue(setBack);
    atEnd(() => clock.mockRestore());
    const task = taskOf({ holdMs: HELD });
    await engine.stage([task], {});
    clock.mockRestore();
    const [, score] = await direct.zrange(`bull:${queue}:delayed`, 0, -1, 'WITHSCORES');
    // BullMQ counts the jobs of one millisecond in the last twelve bits.
    expect(Number(score) / 4_096 - Date.now()).toBeGreaterThan(HELD / 2);
  });

  it('adds several tasks also when Redis has forgotten its scripts', async () => {
    const direct = openClient(redis.url);
    const engine = await startEngine({ connection: redis.url });
    await engine.stage([taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })], {});
    await direct.script('FLUSH');
    await engine.stage([taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })], {});
    expect(await engine.stats()).toMatchObject({ held: 4 });
  });

  it('keeps as many tasks that have completed, and that have failed, as it is told to: the newest', async () => {
    const keep = { keepCompleted: { count: 1 }, keepFailed: { count: 2 } };
    const engine = await startEngine({ connection: redis.url, ...keep });
    const tasks = Array.from({ length: 6 }, (_, index) =>
      taskOf({ task: index % 2 === 0 ? 'mail.send' : 'mail.fail' }),
    );
    await engine.stage(tasks, {});
    await starts(engine, tasks.length, ({ task }) =>
      task === 'mail.send' ? COMPLETED : { kind: 'failed', retry: false, error: new Error('no') },
    );
    const found = await Promise.all(tasks.map(({ envelope }) => engine.find(envelope.id)));
    expect(found.map((task) => task?.state)).toEqual([
      undefined,
      undefined,
      undefined,
      'failed',
      'completed',
      'failed',
    ]);
  });

  it('says of what it has discarded that it has, also to who asks again since the first answer was lost', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ holdMs: HELD });
    await engine.stage([task], {});
    const { id } = task.envelope;
    expect(await engine.discard([id])).toEqual(['discarded']);
    expect(await engine.discard([id, randomUUID()])).toEqual(['discarded', 'too-late']);
  });

  it.each(['stage', 'release', 'discard'] as const)(
    'needs one round trip for all tasks of a response: everything is asked before the first answer, %s()',
    async (method) => {
      const relay = await openRelay(redis.port);
      const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}` });
      const held = (count: number) => Array.from({ length: count }, () => taskOf({ holdMs: HELD }));
      const [firstTasks, tasks] = [held(2), held(20)];
      if (method !== 'stage') await engine.stage([...firstTasks, ...tasks], {});
      const call = (on: readonly StagedTask[]): Promise<unknown> =>
        method === 'stage' ? engine.stage(on, {}) : engine[method](on.map(({ envelope }) => envelope.id));
      // Where a script is called for the first time, Redis is given it.
      await call(firstTasks);
      await engine.find(randomUUID());

      const [start, later] = [relay.asked.length, randomUUID()];
      const giveAnswers = relay.holdAnswers();
      const called = call(tasks);
      await new Promise(setImmediate);
      const found = engine.find(later);
      await untilHolds(() => relay.asked.includes(later));
      const before = relay.asked.slice(start);
      giveAnswers();
      await Promise.all([called, found]);
      const after = relay.asked.slice(start + before.length);

      const ids = tasks.map(({ envelope }) => envelope.id);
      expect(ids.filter((id) => before.includes(id))).toEqual(ids);
      expect(ids.filter((id) => after.includes(id))).toEqual([]);
    },
  );

  it.each([1, 2])('rejects with nothing of what it has sent, where Redis refuses it: %i tasks', async (count) => {
    const full = await startRedis({ args: ['--maxmemory', '1'] });
    const engine = await startEngine({ connection: full.url });
    const secret = (): StagedTask => {
      const { envelope, ...task } = taskOf();
      return { ...task, envelope: { ...envelope, args: ['swordfish'] } };
    };
    const staged = engine.stage(Array.from({ length: count }, secret), {});
    const shown = inspect(await staged.catch((error: Error) => error), { depth: null, maxStringLength: null });
    expect(shown).toContain('OOM');
    expect(shown).not.toContain('swordfish');
  });

  it('finds a task that ends while it is looked for with what it returned', async () => {
    const queue = randomUUID();
    const engine = await startEngine({ connection: redis.url, queue });
    const task = taskOf();
    await engine.stage([task], {});
    const url = await leadTo(redis.port, async () => {
      await starts(engine, 1, () => ({ kind: 'completed', value: 'done' }));
    });
    const looking = await startEngine({ connection: url, queue });
    expect(await looking.find(task.envelope.id)).toMatchObject({ state: 'completed', attempts: 1, value: 'done' });
  });

  it('finds nothing under the names that the queue uses for itself', async () => {
    const engine = await startEngine({ connection: redis.url });
    await engine.stage([taskOf()], {});
    for (const id of ['meta', 'wait', 'id', '1', '', 'a:b']) expect(await engine.find(id)).toBeUndefined();
  });
});

/** Leads to Redis; the first time that a task's hash was asked for, nothing goes on until `meanwhile` has ended. */
async function leadTo(redisPort: number, meanwhile: () => Promise<void>): Promise<string> {
  let wait = meanwhile;
  const server = createServer(async (socket) => {
    const redis = connect(redisPort, '127.0.0.1').on('error', () => {});
    atEnd(() => redis.destroy());
    redis.pipe(socket.on('error', () => {}));
    for await (const chunk of socket) {
      const text = (chunk as Buffer).toString('latin1');
      const asked = /hgetall\r\n\$\d+\r\n.*\r\n/i.exec(text);
      const end = asked === null ? text.length : asked.index + asked[0].length;
      redis.write(text.slice(0, end), 'latin1');
      if (asked === null) continue;
      await wait();
      wait = async () => {};
      redis.write(text.slice(end), 'latin1');
    }
  }).listen(0, '127.0.0.1');
  atEnd(() => server.close());
  await once(server, 'listening');
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
