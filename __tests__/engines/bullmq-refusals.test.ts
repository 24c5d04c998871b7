/** What a worker of bullmq() does while Redis is there, and refuses what it is asked for. */
import { expect, it, jest } from '@jest/globals';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { makeHost, startEngine } from './support/bullmq-engines.ts';
import { taskOf } from './support/bullmq-tasks.ts';
import { workAtTheGate } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { describeWithRedis, openClient } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

/** Between two questions that Redis refuses. */
const ASK_AGAIN_AFTER = 1_000;

describeWithRedis('bullmq() with redis-server', () => {
  it('waits while Redis refuses what its worker asks for, says so once, and keeps what the task came to', async () => {
    const server = await startRedis();
    const direct = openClient(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [first, second] = [taskOf(), taskOf()];
    const [started, mayEnd, secondStarted] = [makeGate(), makeGate(), makeGate()];
    const working = await engine.work(
      async ({ id }) => {
        if (id === second.envelope.id) secondStarted.open();
        started.open();
        await mayEnd.opened;
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([first], {});
    await started.opened;
    const waits = jest.spyOn(globalThis, 'setTimeout');
    atEnd(() => waits.mockRestore());
    await direct.config('RESETSTAT');
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const refusals = async (): Promise<number> =>
      Number(/^cmdstat_evalsha:.*failed_calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await refusals()) >= 3);
    // Of what is asked again, each is the end of a wait. The search for lost tasks is refused as well, and has its interval.
    const asked = waits.mock.calls.filter(([, ms]) => ms === ASK_AGAIN_AFTER).length;
    expect(await refusals()).toBeLessThanOrEqual(2 * asked);
    expect(host.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/^NOREPLICAS/)]);
    await direct.config('SET', 'min-replicas-to-write', '0');
    await engine.stage([second], {});
    await secondStarted.opened;
    await untilHolds(async () => (await engine.find(first.envelope.id))?.state !== 'running');
    expect(await engine.find(first.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
    await working.stop();
  });

  it('asks each second whether there are tasks while Redis refuses that, and takes them when it does not any more', async () => {
    const server = await startRedis();
    const direct = openClient(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    mayEnd.open();
    const waiting = async () => /^id=(\d+) .* cmd=bzpopmin /m.exec((await direct.client('LIST')) as string)?.[1];
    await untilHolds(async () => (await waiting()) !== undefined);
    await direct.config('SET', 'min-replicas-to-write', '1');
    const waits = jest.spyOn(globalThis, 'setTimeout');
    atEnd(() => waits.mockRestore());
    await direct.client('KILL', 'ID', Number(await waiting()));
    const refusals = async (): Promise<number> =>
      Number(/^cmdstat_bzpopmin:.*rejected_calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await refusals()) >= 3);
    expect(await refusals()).toBeLessThanOrEqual(
      1 + waits.mock.calls.filter(([, ms]) => ms === ASK_AGAIN_AFTER).length,
    );
    expect(host.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/^NOREPLICAS/)]);
    await direct.config('SET', 'min-replicas-to-write', '0');
    await engine.stage([taskOf()], {});
    await started.opened;
    await working.stop();
  });

  it('stops while Redis refuses what its worker asks for', async () => {
    const server = await startRedis();
    const direct = openClient(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 2);
    await engine.stage([taskOf()], {});
    await started.opened;
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const waits = jest.spyOn(globalThis, 'setTimeout');
    atEnd(() => waits.mockRestore());
    await working.stop();
    // It asks each second, and waits for a second itself.
    expect(waits.mock.calls.filter(([, ms]) => ms === ASK_AGAIN_AFTER).length).toBeLessThanOrEqual(3);
  });

  it('fetches nothing more when Redis takes again, while it stops, what it had refused', async () => {
    const server = await startRedis();
    const direct = openClient(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [done, lasting, waiting] = [taskOf(), taskOf(), taskOf()];
    const [bothStarted, mayEnd, mayStop] = [makeGate(), makeGate(), makeGate()];
    const started: string[] = [];
    const working = await engine.work(
      async ({ id }) => {
        if (started.push(id) === 2) bothStarted.open();
        await (id === done.envelope.id ? mayEnd : mayStop).opened;
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([done, lasting], {});
    await bothStarted.opened;
    await engine.stage([waiting], {});
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const stopped = working.stop();
    await direct.config('SET', 'min-replicas-to-write', '0');
    await untilHolds(async () => (await engine.find(done.envelope.id))?.state === 'completed');
    mayStop.open();
    await stopped;
    expect(started).not.toContain(waiting.envelope.id);
    expect(await engine.find(waiting.envelope.id)).toMatchObject({ state: 'waiting' });
  });
});
