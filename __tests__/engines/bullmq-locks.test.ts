/** Locks of tasks that bullmq() has lost: to another run, for good, or while a task goes on. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { expect, it, jest } from '@jest/globals';
import type { WorkContext } from 'express-background-tasks/testing/engine';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { makeHost, startEngine, WATCHED } from './support/bullmq-engines.ts';
import { taskOf } from './support/bullmq-tasks.ts';
import { workAtTheGate } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { describeWithRedis, monitor, openClient, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const redis = shareRedis();

describeWithRedis('bullmq() with redis-server', () => {
  it('a worker that is given a task again which it still runs ends the first run, and keeps the lock of the second when that has ended', async () => {
    const direct = openClient(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: redis.url, queue, ...WATCHED }, host);
    const task = taskOf();
    const [firstStarted, firstLost, firstMayEnd] = [makeGate(), makeGate<unknown>(), makeGate()];
    const [secondStarted, secondMayEnd] = [makeGate(), makeGate()];
    const started: WorkContext[] = [];
    const working = await engine.work(
      async (_envelope, context) => {
        const { signal } = context;
        started.push(context);
        if (started.length > 1) {
          secondStarted.open();
          await secondMayEnd.opened;
          return { kind: 'completed', value: 'second' };
        }
        signal.addEventListener('abort', () => firstLost.open(signal.reason));
        firstStarted.open();
        await firstMayEnd.opened;
        return { kind: 'completed', value: 'first' };
      },
      { concurrency: 2 },
    );
    await engine.stage([task], {});
    await firstStarted.opened;
    const lock = `bull:${queue}:${task.envelope.id}:lock`;
    await direct.del(lock);
    await secondStarted.opened;
    expect(await firstLost.opened).toMatchObject({
      message: `The lock of task ${task.envelope.id} could not be renewed in time: this worker has been given it again.`,
    });
    firstMayEnd.open();
    // Twice, since one renewal may have been under way.
    for (let renewals = 0; renewals < 2; renewals += 1) {
      let last = await direct.pttl(lock);
      await untilHolds(async () => {
        const [before, now] = [last, await direct.pttl(lock)];
        last = now;
        return now > before;
      });
    }
    expect(started.map(({ attempt }) => attempt)).toEqual([1, 2]);
    secondMayEnd.open();
    await untilHolds(async () => (await engine.find(task.envelope.id))?.state === 'completed');
    expect(await engine.find(task.envelope.id)).toMatchObject({ attempts: 2, value: 'second' });
    expect(host.errors).toEqual([]);
    await working.stop();
  });

  it('where it gives up a task that has lost its worker too often it counts no attempt, ends what still runs of it, and says so in a few words', async () => {
    const direct = openClient(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    // No renewal takes the lock again before two looks have found that it is missing.
    const timing = { lockDuration: 30_000, stalledInterval: 100, maxStalledCount: 0 };
    const engine = await startEngine({ connection: redis.url, queue, ...timing }, host);
    const [task, started, ended] = [taskOf(), makeGate(), makeGate()];
    const working = await engine.work(
      async (_envelope, { signal }) => {
        started.open();
        await once(signal, 'abort');
        ended.open();
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([task], {});
    await started.opened;
    const { id } = task.envelope;
    await direct.hset(`bull:${queue}:${id}`, 'name', `${'x'.repeat(1e6)}\n`);
    await direct.del(`bull:${queue}:${id}:lock`);
    await host.failed;
    expect(host.errors[0]?.message).toMatch(
      /^Task 'x+'\.\.\. 999901 more characters \([-0-9a-f]+\) lost its worker more than 0 times/,
    );
    expect(host.warnings).toEqual([
      expect.stringMatching(`^Task ${id} lost its worker, .* unless that has happened more than 0 times\\.$`),
    ]);
    await direct.hset(`bull:${queue}:${id}`, 'name', task.envelope.task);
    await untilHolds(async () => (await engine.find(id))?.state === 'failed');
    expect(await engine.find(id)).toMatchObject({
      attempts: 1,
      error: { message: expect.stringContaining('stalled') },
    });
    await ended.opened;
    await working.stop();
  });

  it('finds a task whose worker is gone at the second look, also where that comes a moment early', async () => {
    const direct = openClient(redis.url);
    const [queue, task] = [randomUUID(), taskOf()];
    const check = `bull:${queue}:stalled-check`;
    const timing = { lockDuration: 3_000, stalledInterval: 1_500 };
    const options = { connection: redis.url, queue, ...timing };
    const [leaving, engine] = [await startEngine(options), await startEngine(options)];
    const gone = await workAtTheGate(leaving, 1);
    await leaving.stage([task], {});
    await gone.started.opened;
    await leaving.close();
    await direct.del(`bull:${queue}:${task.envelope.id}:lock`);
    await untilHolds(async () => (await direct.exists(check, `${check}:lately`)) === 0);
    const commands = await monitor(direct);
    const ofLooks = [`bull:${queue}:stalled`, check];
    const looks = (): number => commands.filter((words) => ofLooks.every((key) => words.includes(key))).length;
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    await untilHolds(() => looks() > 0);
    // While this key is there, BullMQ does not look again. It and the pause between two looks end at the same millisecond.
    await direct.eval("return redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]) + 30)", 1, check);
    await started.opened;
    await direct.echo(queue);
    await untilHolds(() => commands.some(([name, text]) => name === 'echo' && text === queue));
    expect(looks()).toBe(2);
    gone.mayEnd.open();
    mayEnd.open();
    await working.stop();
  });

  it('does not take a task for lost at the first look after Redis was away: its worker has time to take the lock again', async () => {
    const direct = openClient(redis.url);
    const [queue, host, task] = [randomUUID(), makeHost(), taskOf()];
    const { id } = task.envelope;
    const key = (name: string): string => `bull:${queue}:${name}`;
    const [lock, looked, lately] = [key(`${id}:lock`), key('stalled-check'), key('stalled-check:lately')];
    const options = { connection: redis.url, queue, lockDuration: 60_000 };
    const [engine, looking] = [
      await startEngine({ ...options, stalledInterval: 60_000 }, host),
      await startEngine({ ...options, stalledInterval: 2_000 }, host),
    ];
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    await engine.stage([task], {});
    await started.opened;
    await untilHolds(async () => (await direct.exists(looked)) === 1);
    await direct.del(looked);
    const other = await workAtTheGate(looking, 1);
    await untilHolds(async () => (await direct.sismember(key('stalled'), id)) === 1);
    // What runs out while Redis is away.
    const token = (await direct.get(lock)) as string;
    await direct.del(lock, looked, lately);
    await untilHolds(async () => (await direct.exists(lately)) === 1);
    const first = await direct.get(looked);
    await direct.set(lock, token, 'PX', 60_000);
    await untilHolds(async () => ![first, null].includes(await direct.get(looked)));
    mayEnd.open();
    await untilHolds(async () => (await engine.find(id))?.state === 'completed');
    expect(await engine.find(id)).toMatchObject({ attempts: 1 });
    expect([...host.warnings, ...host.errors]).toEqual([]);
    other.mayEnd.open();
    await Promise.all([working.stop(), other.working.stop()]);
  });

  it('reports once that a lock is lost, however long a task goes on after that', async () => {
    const direct = openClient(redis.url);
    const [queue, host, task] = [randomUUID(), makeHost(), taskOf()];
    const engine = await startEngine({ connection: redis.url, queue, lockDuration: 200 }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    await engine.stage([task], {});
    await started.opened;
    await direct.config('RESETSTAT');
    for (const lock of await direct.keys(`bull:${queue}:*:lock`)) await direct.set(lock, 'another', 'PX', 60_000);
    const calls = async (): Promise<number> =>
      Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await calls()) >= 5);
    mayEnd.open();
    await working.stop();
    expect(host.errors.map(({ message }) => message)).toEqual([
      `What task ${task.envelope.id} comes to here is not kept: its lock was not renewed within 200 ms, or was removed, and another worker may have been given it.`,
    ]);
  });

  it.each([
    [
      'lost its lock',
      ':lock',
      'its lock was not renewed within 30000 ms, or was removed, and another worker may have been given it',
    ],
    ['been removed', '', 'it was removed from Redis while it ran'],
  ])('says once why it keeps nothing of a task that has %s meanwhile', async (_what, key, why) => {
    const direct = openClient(redis.url);
    const [queue, host, task] = [randomUUID(), makeHost(), taskOf()];
    const engine = await startEngine({ connection: redis.url, queue }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    await engine.stage([task], {});
    await started.opened;
    const { id } = task.envelope;
    // A task that nobody has been given keeps its place: it is this one's, and takes its lock again.
    if (key === ':lock') await direct.hset(`bull:${queue}:${id}`, 'pb', 'another');
    await direct.del(`bull:${queue}:${id}${key}`);
    mayEnd.open();
    const next = taskOf();
    await engine.stage([next], {});
    await untilHolds(async () => (await engine.find(next.envelope.id))?.state === 'completed');
    await working.stop();
    expect(host.errors.map(({ message }) => message)).toEqual([`What task ${id} comes to here is not kept: ${why}.`]);
  });
});
