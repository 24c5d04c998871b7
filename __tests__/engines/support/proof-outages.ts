/** Engines that go away, and come back. */
import { describe, expect, it } from '@jest/globals';
import { type EngineUnderProof, IN_HAND, programsOn, TIMEOUT } from './proof-engine.ts';
import { atMost, conclude } from './proof-findings.ts';
import { now } from './proof-journal.ts';
import { load, untilDone } from './proof-programs.ts';

const HOLD = 3_000;
/** Between two attempts to start with an engine that is down, in milliseconds. */
const LONGEST_START_DELAY = 5_000;

export function proveOutages(engine: EngineUnderProof): void {
  const { on, startServer } = engine;

  describe('an engine that goes away', () => {
    proveThatAnOutageLosesNothing(engine, 'stopped');
    proveThatAnOutageLosesNothing(engine, 'killed');

    it(
      'and was not there at the start: handlers answer 503, workers wait, and both begin when it is there',
      async () => {
        const server = await startServer();
        await server.stop();
        const programs = programsOn(engine, server.url);
        const { journal } = programs;
        const [web] = await Promise.all([
          programs.web({ env: { ACCEPT_TIMEOUT: '500' } }),
          programs.worker({ isWorking: false }),
        ]);
        expect(await web.post()).toBe(503);
        await server.start();
        const backAt = now();
        while ((await web.post()) !== 202);
        await untilDone(journal, web);
        conclude({
          what: 'the engine down when the web process and the worker were started',
          on,
          journal,
          again: { afterMs: journal.msUntilAnyStart(backAt), withinMs: LONGEST_START_DELAY },
          remark: 'requests answered 503 until then',
        });
      },
      TIMEOUT,
    );
  });
}

export function proveThatAnOutageLosesNothing(engine: EngineUnderProof, how: 'stopped' | 'killed'): void {
  const { on, startServer, limits } = engine;
  it(
    `and is ${how} in mid-flight, loses nothing that it has accepted, and all go on by themselves`,
    async () => {
      const server = await startServer();
      const programs = programsOn(engine, server.url);
      const { journal } = programs;
      const web = await programs.web({ env: { HOLD: String(HOLD) } });
      const worker = await programs.worker();
      // Of the last there are always some that wait for their responses.
      const queries = ['ms=20', 'ms=20&after=100', 'ms=20&after=1000'];
      const loads = queries.map((query) => load(web, query, 3));
      await journal.until(() => journal.ids('ended').length >= 50);
      await (how === 'stopped' ? server.stop() : server.kill());
      const refused = await web.post();
      // All take equally long, so they end, and are reported, in the order of their starts.
      const inHand = journal.startedBy(worker.pid).slice(-IN_HAND);
      await server.start();
      const backAt = now();
      const before = journal.ids('accepted').length;
      await journal.until(() => journal.ids('accepted').length >= before + 50);
      const statuses = (await Promise.all(loads.map((one) => one.stop()))).flat();
      await untilDone(journal, web);
      expect(refused).toBe(503);
      const firstMs = journal.msUntilAnyStart(backAt);
      const afterMs = journal.msUntilStarted(journal.waitingAt(backAt), backAt);
      conclude({
        what: `the engine ${how} and started in mid-flight`,
        on,
        journal,
        mayRunTwice: inHand,
        again: { afterMs, withinMs: limits.reunion + Math.max(HOLD, limits.takeover) + limits.look },
        remark: `${statuses.filter((status) => status === 503).length} requests answered 503; the first task ran after ${(firstMs / 1_000).toFixed(1)} s`,
      });
      expect(firstMs).toBeLessThanOrEqual(atMost(limits.reunion, journal));
    },
    TIMEOUT,
  );
}
