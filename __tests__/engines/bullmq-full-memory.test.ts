/** What bullmq() still does when the memory of Redis is full: all that takes away. */
import { randomUUID } from 'node:crypto';
import { expect, it, jest } from '@jest/globals';
import type { WorkResult } from 'express-background-tasks/testing/engine';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { makeHost, startEngine, WATCHED } from './support/bullmq-engines.ts';
import { HELD, retryOf, taskOf } from './support/bullmq-tasks.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { describeWithRedis, openClient } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

describeWithRedis('bullmq() with redis-server', () => {
  it('discards and releases what it holds when the memory of Redis is full', async () => {
    const full = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
    const direct = openClient(full.url);
    const engine = await startEngine({ connection: full.url });
    const [unwanted, wanted] = [taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })];
    await engine.stage([unwanted, wanted], {});
    await direct.config('SET', 'maxmemory', 1);
    await expect(engine.stage([taskOf()], {})).rejects.toThrow(/OOM/);
    for (let count = 0; count < 2; count += 1) {
      expect(await engine.discard([unwanted.envelope.id])).toEqual(['discarded']);
    }
    expect(await engine.find(unwanted.envelope.id)).toBeUndefined();
    expect(await engine.release([wanted.envelope.id])).toEqual(['released']);
  });

  it('works off what Redis holds when its memory is full: fetches, renews locks, tries again, puts back, and finds what has lost its worker', async () => {
    const full = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
    const direct = openClient(full.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: full.url, queue, ...WATCHED }, host);
    const soon = { holdMs: HELD, retry: retryOf(2, 0) };
    const [lasting, tried, later, back, lost] = [
      taskOf({ holdMs: HELD, task: 'lasting' }),
      taskOf({ ...soon, task: 'tried' }),
      taskOf({ ...soon, retry: retryOf(2, 1), task: 'later' }),
      taskOf({ holdMs: HELD, task: 'back' }),
      taskOf({ holdMs: HELD, task: 'lost' }),
    ];
    const tasks = [lasting, tried, later, back, lost];
    await engine.stage(tasks, {});
    const starts = new Map<string, number>();
    const [lastingStarted, mayEnd, lostStarted] = [makeGate(), makeGate(), makeGate()];
    const ends: Record<string, (count: number) => Promise<WorkResult>> = {
      async lasting() {
        lastingStarted.open();
        await mayEnd.opened;
        return COMPLETED;
      },
      tried: async (count) => (count > 1 ? COMPLETED : { kind: 'failed', error: new Error('once'), retry: true }),
      later: async (count) => (count > 1 ? COMPLETED : { kind: 'failed', error: new Error('once'), retry: true }),
      back: async (count) => (count > 1 ? COMPLETED : { kind: 'postponed', delayMs: 1 }),
      async lost(count) {
        lostStarted.open();
        if (count === 1) await mayEnd.opened;
        return COMPLETED;
      },
    };
    const working = await engine.work(
      ({ task }) => {
        const count = (starts.get(task) ?? 0) + 1;
        starts.set(task, count);
        return (ends[task] as (count: number) => Promise<WorkResult>)(count);
      },
      { concurrency: 5 },
    );
    await direct.config('SET', 'maxmemory', 1);
    await engine.release(tasks.map(({ envelope }) => envelope.id));
    await Promise.all([lastingStarted.opened, lostStarted.opened]);
    const lock = `bull:${queue}:${lasting.envelope.id}:lock`;
    let last = await direct.pttl(lock);
    await direct.del(`bull:${queue}:${lost.envelope.id}:lock`);
    for (const { envelope } of [tried, later, back, lost]) {
      await untilHolds(async () => (await engine.find(envelope.id))?.state === 'completed');
    }
    await untilHolds(async () => {
      const [before, now] = [last, await direct.pttl(lock)];
      last = now;
      return now > before;
    });
    mayEnd.open();
    await untilHolds(async () => (await engine.find(lasting.envelope.id))?.state === 'completed');
    expect(Object.fromEntries(starts)).toEqual({ lasting: 1, tried: 2, later: 2, back: 2, lost: 2 });
    expect(host.errors).toEqual([]);
    await working.stop();
  });
});
