/** How long the tasks of a killed worker wait for another, with the settings that users have. */
import { describe, expect, it } from '@jest/globals';
import { CONCURRENCY, type EngineUnderProof, programsOn, TIMEOUT } from './proof-engine.ts';
import { conclude } from './proof-findings.ts';
import { now } from './proof-journal.ts';
import { untilDone } from './proof-programs.ts';

export function proveRecovery(engine: EngineUnderProof): void {
  const { on, startServer, limits, recoveries } = engine;

  describe('the tasks of a worker that is killed', () => {
    it.each(recoveries)(
      'run again in the time that the options allow: $settings',
      async ({ settings, options, takeover }) => {
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
      },
      TIMEOUT,
    );
  });
}
