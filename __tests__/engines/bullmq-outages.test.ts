/** What bullmq() does while Redis is down, and after that. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, jest } from '@jest/globals';
import type { WorkResult } from 'express-background-tasks/testing/engine';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { work as someTime, untilHolds } from '../support/time.ts';
import { type BullMQOptions, makeHost, startEngine } from './support/bullmq-engines.ts';
import { HELD, retryOf, taskOf } from './support/bullmq-tasks.ts';
import { workAtTheGate } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { openRelay } from './support/relay.ts';
import { describeWithRedis, openClient } from './support/shared-redis.ts';

/** What is known of a task while Redis is down. */
const DOWN = { state: 'unknown' } as const;

/** A lock that holds also where Redis or this process stands still for seconds. Once it has lapsed, that is noticed soon. */
const LASTING = { lockDuration: 30_000, stalledInterval: 300 };

jest.setTimeout(60_000);
expectNoProcessFaults();

describeWithRedis('bullmq() with redis-server', () => {
  it('rejects while Redis is down, reports it once, and goes on when it is back', async () => {
    // Synced every second, as by default, Redis may answer before it writes: the kill would lose what is held.
    const server = await startRedis({ args: ['--appendfsync', 'always'] });
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [held, ran] = [taskOf({ holdMs: HELD }), makeGate<string>()];
    await engine.stage([held], {});
    const working = await engine.work(
      async ({ id }) => {
        ran.open(id);
        return COMPLETED;
      },
      { concurrency: 1 },
    );
    await server.kill();
    await host.failed;
    const calls = [
      engine.stage([taskOf()], {}),
      engine.stage([taskOf(), taskOf()], {}),
      engine.release([held.envelope.id]),
      engine.discard([held.envelope.id]),
      engine.find(held.envelope.id),
      engine.stats(),
    ];
    await Promise.all(calls.map((call) => expect(call).rejects.toThrow(/Redis can't be reached: .*ECONN/)));
    expect(host.errors).toHaveLength(1);

    await server.start();
    while (true) {
      const results = await engine.release([held.envelope.id]).catch(() => undefined);
      if (results !== undefined) break;
    }
    expect(await ran.opened).toBe(held.envelope.id);
    await working.stop();
  });

  it('says why a Redis that was away refuses it when it is there again, once, and goes on when it does not any more', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'background-tasks-acl-'));
    atEnd(() => rmSync(folder, { recursive: true }));
    const users = join(folder, 'users.acl');
    const allowed = 'user default on nopass ~* &* +@all\n';
    writeFileSync(users, allowed);
    const server = await startRedis({ args: ['--aclfile', users] });
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    await server.stop();
    await host.failed;
    writeFileSync(users, 'user default on >another ~* &* +@all\n');
    await server.start();
    await untilHolds(() => host.errors.length > 1);
    expect(await engine.stats().catch(({ message }: Error) => message)).toMatch(/NOAUTH/);
    expect(host.errors.map(({ message }) => message)).toEqual([
      expect.stringMatching(/ECONN|EPIPE|closed/),
      expect.stringMatching(/^NOAUTH /),
    ]);
    await server.stop();
    writeFileSync(users, allowed);
    await server.start();
    await untilHolds(async () => (await engine.stats().catch(() => undefined)) !== undefined);
  });

  it('goes on with the task that an idle worker was given, where the answer was lost', async () => {
    const server = await startRedis();
    const [relay, direct] = [await openRelay(server.port), openClient(server.url)];
    const [host, queue] = [makeHost(), randomUUID()];
    const options = { queue, ...LASTING };
    const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}`, ...options }, host);
    const attempts: number[] = [];
    const working = await engine.work(
      async (_envelope, { attempt }) => {
        attempts.push(attempt);
        return COMPLETED;
      },
      { concurrency: 1 },
    );
    await untilHolds(() => relay.asked.includes('bzpopmin'));
    // The connection on which a worker waits for tasks still tells it that there is one.
    relay.holdAnswers((asked) => !asked.includes('bzpopmin'));
    const [web, task] = [await startEngine({ connection: server.url, queue }), taskOf()];
    await web.stage([task], {});
    const { id } = task.envelope;
    await untilHolds(async () => (await direct.lpos(`bull:${queue}:active`, id)) === 0);
    relay.cut();
    await untilHolds(async () => (await web.find(id))?.state === 'completed');
    expect(attempts).toEqual([1]);
    expect(host.warnings).toEqual([]);
    await working.stop();
  });

  it.each<[string, BullMQOptions['keepCompleted']]>([
    ['with the next task', undefined],
    ['with the next task, where completed tasks are not kept', { count: 0 }],
  ])(
    'goes on where Redis has written what a task came to, and the answer was lost %s',
    async (_what, keepCompleted) => {
      const server = await startRedis();
      const [relay, direct] = [await openRelay(server.port), openClient(server.url)];
      const [host, queue] = [makeHost(), randomUUID()];
      const options = { queue, ...LASTING, keepCompleted };
      const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}`, ...options }, host);
      const [started, mayEnd, tasks] = [makeGate<string>(), makeGate(), [taskOf(), taskOf()]];
      const attempts: number[] = [];
      const working = await engine.work(
        async ({ id }, { attempt }) => {
          attempts.push(attempt);
          started.open(id);
          await mayEnd.opened;
          return COMPLETED;
        },
        { concurrency: 1 },
      );
      await engine.stage(tasks, {});
      const first = await started.opened;
      relay.holdAnswers();
      mayEnd.open();
      await untilHolds(async () => (await direct.lpos(`bull:${queue}:active`, first)) === null);
      relay.cut();
      for (const { envelope } of tasks) {
        const left = keepCompleted === undefined ? 'completed' : undefined;
        await untilHolds(async () => (await engine.find(envelope.id).catch(() => DOWN))?.state === left);
      }
      expect(attempts).toEqual([1, 1]);
      expect(host.errors.filter(({ message }) => /not kept|lock|key/.test(message))).toEqual([]);
      expect(host.warnings).toEqual([]);
      await working.stop();
    },
  );

  it('goes on where Redis keeps a task for its next attempt, and the answer was lost with the next task', async () => {
    const server = await startRedis();
    const [relay, direct] = [await openRelay(server.port), openClient(server.url)];
    const [host, queue] = [makeHost(), randomUUID()];
    const options = { queue, ...LASTING };
    const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}`, ...options }, host);
    const [failing, next] = [taskOf({ retry: retryOf(2, HELD) }), taskOf()];
    const { working, started, mayEnd } = await workAtTheGate(engine, 1, ({ id }) =>
      id === failing.envelope.id ? { kind: 'failed', error: new Error('down'), retry: true } : COMPLETED,
    );
    await engine.stage([failing, next], {});
    await started.opened;
    relay.holdAnswers();
    mayEnd.open();
    await untilHolds(async () => (await direct.zcard(`bull:${queue}:delayed`)) === 1);
    relay.cut();
    await untilHolds(async () => (await engine.find(next.envelope.id).catch(() => DOWN))?.state === 'completed');
    expect(await engine.find(next.envelope.id)).toMatchObject({ attempts: 1 });
    expect(await engine.find(failing.envelope.id)).toMatchObject({ state: 'retrying', attempts: 1 });
    expect(host.errors.filter(({ message }) => /not kept|lock|key/.test(message))).toEqual([]);
    expect(host.warnings).toEqual([]);
    await working.stop();
  });

  it('goes on where Redis has let the next attempt begin elsewhere, and the answer to the one that failed was lost', async () => {
    const server = await startRedis();
    const [relay, direct] = [await openRelay(server.port), openClient(server.url)];
    const [host, queue] = [makeHost(), randomUUID()];
    const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}`, queue, ...LASTING }, host);
    const elsewhere = await startEngine({ connection: server.url, queue, ...LASTING });
    const [task, next] = [taskOf({ retry: retryOf(2, 0) }), taskOf()];
    const { working, started, mayEnd } = await workAtTheGate(engine, 1, ({ id }) =>
      id === task.envelope.id ? { kind: 'failed', error: new Error('down'), retry: true } : COMPLETED,
    );
    await elsewhere.stage([task], {});
    await started.opened;
    relay.holdAnswers();
    mayEnd.open();
    await untilHolds(async () => (await direct.hget(`bull:${queue}:${task.envelope.id}`, 'atm')) === '1');
    const second = await workAtTheGate(elsewhere, 1);
    await second.started.opened;
    relay.cut();
    await untilHolds(async () => (await engine.find(task.envelope.id).catch(() => DOWN))?.state === 'running');
    await elsewhere.stage([next], {});
    await untilHolds(async () => (await elsewhere.find(next.envelope.id))?.state === 'completed');
    second.mayEnd.open();
    await untilHolds(async () => (await elsewhere.find(task.envelope.id))?.state === 'completed');
    expect(await elsewhere.find(task.envelope.id)).toMatchObject({ attempts: 2 });
    expect(host.errors.filter(({ message }) => /not kept|lock|key/.test(message))).toEqual([]);
    await second.working.stop();
    await working.stop();
  });

  it.each<[string, endsAt: 'while it was away' | 'after that', kind: 'completed' | 'postponed']>([
    ['keeps what a task has come to while Redis was away for longer than its lock', 'while it was away', 'completed'],
    [
      'puts a task back that is to be put back while Redis was away for longer than its lock',
      'while it was away',
      'postponed',
    ],
    ['takes the lock of a task again that goes on when Redis was away for longer than that', 'after that', 'completed'],
  ])('%s', async (_what, endsAt, kind) => {
    const server = await startRedis({ args: ['--appendfsync', 'always'] });
    const host = makeHost();
    const queue = randomUUID();
    const engine = await startEngine(
      { connection: server.url, queue, lockDuration: 1_000, stalledInterval: 300 },
      host,
    );
    const [started, mayEnd, task] = [makeGate(), makeGate(), taskOf()];
    const attempts: number[] = [];
    const working = await engine.work(
      async (_envelope, { attempt }) => {
        attempts.push(attempt);
        if (attempts.length > 1) return COMPLETED;
        started.open();
        await mayEnd.opened;
        return kind === 'completed' ? COMPLETED : { kind, delayMs: 1 };
      },
      { concurrency: 1 },
    );
    await engine.stage([task], {});
    await started.opened;
    const { id } = task.envelope;
    const lock = `bull:${queue}:${id}:lock`;
    const before = openClient(server.url);
    // By now a look has marked the task as one that may be lost.
    await untilHolds(async () => (await before.sismember(`bull:${queue}:stalled`, id)) === 1);
    const stopped = server.stop();
    before.disconnect();
    await stopped;
    await someTime(1_200);
    if (endsAt === 'while it was away') mayEnd.open();
    await server.start();
    if (endsAt === 'after that') {
      const after = openClient(server.url);
      await untilHolds(async () => (await after.pttl(lock)) > 0);
      mayEnd.open();
    }
    await untilHolds(async () => (await engine.find(id).catch(() => undefined))?.state === 'completed');
    expect(await engine.find(id)).toMatchObject({ attempts: 1 });
    expect(attempts).toEqual(kind === 'completed' ? [1] : [1, 1]);
    expect(host.warnings).toEqual([]);
    expect(host.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/ECONN|EPIPE|closed/)]);
    await working.stop();
  });

  it.each<[string, WorkResult]>([
    ['have ended', COMPLETED],
    ['are to be put back', { kind: 'postponed', delayMs: 0 }],
  ])('says which tasks run again that %s, where it closes while Redis is down', async (_what, result) => {
    const server = await startRedis();
    const [host, task] = [makeHost(), taskOf()];
    const engine = await startEngine({ connection: server.url }, host);
    const { started, mayEnd } = await workAtTheGate(engine, 1, () => result);
    await engine.stage([task], {});
    await started.opened;
    await server.kill();
    mayEnd.open();
    await engine.close();
    expect(host.warnings).toEqual([
      `It has not confirmed in time that these tasks have ended: unless that was written all the same, they run again: ${task.envelope.id}.`,
    ]);
  });

  it('closes while Redis is down', async () => {
    const server = await startRedis();
    const engine = await startEngine({ connection: server.url });
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await server.kill();
    await expect(engine.stats()).rejects.toThrow();
    await working.stop();
    await engine.close();
    await expect(engine.stats()).rejects.toThrow(/closed/);
  });
});
