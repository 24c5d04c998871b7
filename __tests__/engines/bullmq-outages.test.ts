/** What bullmq() does while Redis is down, and after that. */
import { expect, it, jest } from '@jest/globals';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { makeHost, startEngine } from './support/bullmq-engines.ts';
import { HELD, taskOf } from './support/bullmq-tasks.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { describeWithRedis } from './support/shared-redis.ts';

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
