/** Web processes and workers that end, in order or not. */
import { describe, expect, it } from '@jest/globals';
import { CONCURRENCY, type EngineUnderProof, programsOn, TIMEOUT } from './proof-engine.ts';
import { conclude } from './proof-findings.ts';
import { now } from './proof-journal.ts';
import { load, untilDone } from './proof-programs.ts';

const KILLS = 20;
const HOLD = 1_500;

export function proveProcesses(engine: EngineUnderProof): void {
  const { on, startServer, limits } = engine;
  const prove = (sentence: string, body: () => Promise<void>): void => it(sentence, body, TIMEOUT);

  describe('a web process that is killed', () => {
    prove(
      `${KILLS} times under load, right after the engine has accepted tasks, loses none and doubles none: they run when their holds are over`,
      async () => {
        const programs = programsOn(engine, (await startServer()).url);
        const { journal } = programs;
        await programs.worker();
        const deaths: { readonly pid: number; readonly at: number }[] = [];
        while (deaths.length < KILLS) {
          const web = await programs.web({ env: { HOLD: String(HOLD) } });
          const before = journal.of('accepted').length;
          // Half of the responses never end, so their tasks are never released.
          const loads = [load(web, 'after=never', 3), load(web, 'ms=1', 3)];
          await journal.until(() => journal.of('accepted').length >= before + 10);
          await web.kill('SIGKILL');
          deaths.push({ pid: web.pid, at: now() });
          await Promise.all(loads.map((one) => one.stop()));
        }
        await untilDone(journal, await programs.web());
        expect(journal.ids('accepted').length).toBeGreaterThanOrEqual(10 * KILLS);
        const afterMs = Math.max(
          ...deaths.map(({ pid, at }) => journal.msUntilStarted(journal.waitingAt(at, pid), at)),
        );
        conclude({
          what: `the web process killed by SIGKILL right after \`accepted\`, ${KILLS} times under load`,
          on,
          journal,
          again: { afterMs, withinMs: HOLD + limits.look },
          remark: `with a hold of ${HOLD / 1_000} s`,
        });
      },
    );
  });

  describe('a worker', () => {
    prove(
      'that is killed in the middle of tasks loses none: another runs what it had, and only that, again',
      async () => {
        const programs = programsOn(engine, (await startServer()).url);
        const { journal } = programs;
        const web = await programs.web();
        const [first] = await Promise.all([programs.worker(), programs.worker()]);
        await Promise.all(Array.from({ length: 40 }, () => web.post('ms=200')));
        await journal.until(() => journal.underWayIn(first.pid).length >= 2);
        await first.kill('SIGKILL');
        const killedAt = now();
        const underWay = journal.underWayIn(first.pid);
        await untilDone(journal, web);
        conclude({
          what: 'a worker killed in the middle of tasks, another alive',
          on,
          journal,
          mayRunTwice: underWay,
          again: { afterMs: journal.msUntilStarted(underWay, killedAt), withinMs: limits.takeover + limits.look },
          remark: 'what it had in hand, and only that, was started twice',
        });
        const again = journal.of('started').filter(({ id, at }) => underWay.includes(id) && at > killedAt);
        expect(again.map(({ id }) => id).sort()).toEqual([...underWay].sort());
        expect(again.every(({ attempt }) => attempt === 2)).toBe(true);
      },
    );

    prove('that gets SIGTERM finishes what it has', async () => {
      const programs = programsOn(engine, (await startServer()).url);
      const { journal } = programs;
      const web = await programs.web();
      const worker = await programs.worker();
      await Promise.all(Array.from({ length: 8 }, () => web.post('ms=300')));
      await journal.until(() => journal.underWayIn(worker.pid).length === CONCURRENCY);
      await worker.kill('SIGTERM');
      expect(journal.underWayIn(worker.pid)).toEqual([]);
      await programs.worker();
      await untilDone(journal, web);
      conclude({ what: 'a worker that gets SIGTERM', on, journal });
    });

    prove(
      'that has no time for that gives it back: it runs elsewhere, at once, as if it had not been tried',
      async () => {
        // With the limits in force it would take half a minute until its loss is noticed.
        const programs = programsOn(engine, (await startServer()).url, {});
        const { journal } = programs;
        const web = await programs.web();
        const worker = await programs.worker({ env: { CLOSE_TIMEOUT: '50' } });
        await Promise.all(Array.from({ length: CONCURRENCY }, () => web.post('ms=1000')));
        await journal.until(() => journal.underWayIn(worker.pid).length === CONCURRENCY);
        await worker.kill('SIGTERM');
        const underWay = journal.underWayIn(worker.pid);
        const endedAt = now();
        const other = await programs.worker();
        await untilDone(journal, web);
        expect(underWay).toHaveLength(CONCURRENCY);
        const startUpMs = Number(journal.of('working').find(({ pid }) => pid === other.pid)?.at) - endedAt;
        conclude({
          what: 'a worker that gets SIGTERM, and no time to finish; another is started',
          on,
          journal,
          mayRunTwice: underWay,
          again: { afterMs: Math.max(0, journal.msUntilStarted(underWay, endedAt) - startUpMs), withinMs: 0 },
          remark: 'what it gave back was started twice; the time is that from when the other was ready',
        });
        const attempts = journal.of('started').filter(({ pid }) => pid === other.pid);
        expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
      },
    );
  });
}
