/** How long the tasks of a killed worker wait for another, with the settings that users have. */
import { describe, expect, it } from '@jest/globals';
import { CONCURRENCY, type EngineUnderProof, programsOn, type Recovery, TIMEOUT } from './proof-engine.ts';
import { conclude } from './proof-findings.ts';
import { now } from './proof-journal.ts';
import { untilDone } from './proof-programs.ts';

/** The default options let a task wait for the better part of a minute: not in each run of everything. */
const LONGEST_TAKEOVER = process.env['ENGINE_PROOF_IS_SHORT'] === undefined ? Number.POSITIVE_INFINITY : 15_000;

export function proveRecovery(engine: EngineUnderProof): void {
  describe('the tasks of a worker that is killed', () => {
    it(
      'run again in the time that the options allow',
      async () => {
        const recoveries = engine.recoveries.filter(({ takeover }) => takeover <= LONGEST_TAKEOVER);
        await Promise.all(recoveries.map((recovery) => proveOne(engine, recovery)));
      },
      TIMEOUT,
    );
  });
}

async function proveOne(engine: EngineUnderProof, { settings, options, takeover }: Recovery): Promise<void> {
  const { on, startServer, limits } = engine;
  const programs = programsOn(engine, (await startServer()).url, options);
  const { journal } = programs;
  const web = await programs.web();
  const [first] = await Promise.all([programs.worker(), programs.worker()]);
  await Promise.all(Array.from({ length: 2 * CONCURRENCY }, () => web.post('ms=1000')));
  await journal.until(() => journal.underWayIn(first.pid).length > 0);
  await first.kill('SIGKILL');
  const killedAt = now();
  const underWay = journal.underWayIn(first.pid);
  await untilDone(journal, web);
  expect(underWay).not.toEqual([]);
  conclude({
    what: `a worker killed, another alive, with ${settings}`,
    on,
    journal,
    mayRunTwice: underWay,
    again: { afterMs: journal.msUntilStarted(underWay, killedAt), withinMs: takeover + limits.look },
  });
}
