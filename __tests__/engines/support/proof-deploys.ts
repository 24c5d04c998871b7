/** Workers that know fewer tasks than the web processes. */
import { describe, expect, it } from '@jest/globals';
import { type EngineUnderProof, programsOn, TIMEOUT } from './proof-engine.ts';
import { conclude } from './proof-findings.ts';
import { now } from './proof-journal.ts';
import { untilDone } from './proof-programs.ts';

export function proveDeploys(engine: EngineUnderProof): void {
  const { on, startServer, limits } = engine;

  describe('a deploy in two halves', () => {
    it(
      'loses no task that the old workers do not know: the new ones run it',
      async () => {
        const programs = programsOn(engine, (await startServer()).url);
        const { journal } = programs;
        const web = await programs.web();
        const old = await programs.worker({ env: { DEPLOY: 'old' } });
        await web.post('task=later');
        const [{ id, at: acceptedAt } = { id: '', at: 0 }] = journal.of('accepted');
        await web.post('task=run');
        await journal.until(() => journal.of('log').some(({ code }) => code === 'ERR_BACKGROUND_UNKNOWN_TASK'));
        const updatedAt = now();
        const updated = await programs.worker();
        await old.kill('SIGTERM');
        const oldEndedAt = now();
        await untilDone(journal, web);
        conclude({
          what: 'a task that only the workers of the new deploy know; they are started, and the old ones end',
          on,
          journal,
          // A task that an old worker puts back just before its end waits as long again as it has waited so far.
          again: {
            afterMs: journal.msUntilStarted([id], updatedAt),
            withinMs: oldEndedAt - updatedAt + (oldEndedAt - acceptedAt) + limits.look,
          },
        });
        const attempts = journal.of('started').filter(({ pid }) => pid === updated.pid);
        expect(attempts.map(({ attempt }) => attempt)).toContain(1);
      },
      TIMEOUT,
    );

    it(
      'keeps as failed what nobody has known for too long',
      async () => {
        const programs = programsOn(engine, (await startServer()).url);
        const { journal } = programs;
        const web = await programs.web();
        await web.post('task=later');
        await programs.worker({ env: { DEPLOY: 'old', UNKNOWN_FOR: '0' } });
        const [id] = journal.ids('accepted');
        let found: { state: string; error?: { code?: string } };
        do found = await web.get(`/tasks/${id}`);
        while (found.state !== 'failed');
        expect(found.error?.code).toBe('ERR_BACKGROUND_UNKNOWN_TASK');
      },
      TIMEOUT,
    );
  });
}
