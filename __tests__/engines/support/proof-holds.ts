/** Holds that are over while something is done with their tasks, and the clocks that say when they are. */
import { describe, expect, it } from '@jest/globals';
import { fixture } from '../../support/fixtures.ts';
import { type EngineUnderProof, programsOn, TIMEOUT } from './proof-engine.ts';
import { conclude } from './proof-findings.ts';
import type { Journal } from './proof-journal.ts';
import { untilDone, untilNothingIsLeft } from './proof-programs.ts';

const HOLD = 1_000;
const REQUESTS = 300;
const MINUTE = 60_000;

export function proveHolds(engine: EngineUnderProof): void {
  const { on, startServer, limits, workersKeepHolds } = engine;

  describe('holds that end while their tasks are released or discarded', () => {
    it(
      'let each task run once, or never',
      async () => {
        const programs = programsOn(engine, (await startServer()).url);
        const { journal } = programs;
        const web = await programs.web({ env: { HOLD: String(HOLD) } });
        await programs.worker({ env: { CONCURRENCY: '20' } });
        const requests = Array.from({ length: REQUESTS }, (_, index) => {
          const after = Math.round((1.5 * HOLD * index) / REQUESTS);
          return web.post(`after=${after}&status=${index % 2 === 0 ? 202 : 500}`);
        });
        await Promise.all(requests);
        await journal.until(() => journal.of('settled').length === REQUESTS);
        const skipped = new Set(idsOf(journal, 'settled', ({ state }) => state === 'skipped'));
        const mustRun = journal.ids('accepted').filter((id) => !skipped.has(id));
        await journal.until(() => mustRun.every((id) => journal.ids('ended').includes(id)));
        await untilNothingIsLeft(web);
        const ranThoughSkipped = journal.ids('started').filter((id) => skipped.has(id));
        // Where an answer was lost, the engine is asked for the task before anything is said of it.
        await journal.until(() => {
          const reported = idsOf(journal, 'log', ({ code }) => code === 'ERR_BACKGROUND_NOT_DISCARDED');
          return ranThoughSkipped.every((id) => reported.includes(id));
        });
        const waits = journal
          .of('accepted')
          .filter(({ id }) => !skipped.has(id))
          .map(({ id, at }) => journal.msUntilStarted([id], at));
        expect(skipped.size).toBe(REQUESTS / 2);
        conclude({
          what: 'holds that end while their tasks are released or discarded',
          on,
          journal,
          lost: mustRun.filter((id) => !journal.ids('ended').includes(id)),
          again: { afterMs: Math.max(...waits), withinMs: HOLD + limits.look },
          remark: `of ${skipped.size} to be discarded ${ranThoughSkipped.length} ran, and the log told of each; the time is that from \`accepted\``,
        });
      },
      TIMEOUT,
    );
  });

  describe('machines whose clocks differ by a minute', () => {
    it.each([
      ['a worker that is ahead', 'worker', MINUTE],
      ['a worker that is behind', 'worker', -MINUTE],
      ['a web process that is ahead', 'web', MINUTE],
      ['a web process that is behind', 'web', -MINUTE],
    ] as const)(
      'lose nothing and double nothing: %s',
      async (who, which, ahead) => {
        const programs = programsOn(engine, (await startServer()).url, {});
        const { journal } = programs;
        const shifted = {
          execArgv: ['--import', fixture('engine-other-clock.mjs').href],
          env: { CLOCK_AHEAD: String(ahead), HOLD: '20000' },
        };
        const web = await programs.web(which === 'web' ? shifted : { env: { HOLD: '20000' } });
        await programs.worker(which === 'worker' ? shifted : {});
        await Promise.all(Array.from({ length: 20 }, (_, index) => web.post(`after=${1_000 + index * 20}`)));
        await untilDone(journal, web);
        // Where workers end holds, one that is ahead does so too soon; the docs say so, and the log does.
        const early = journal
          .of('answering')
          .filter(({ id, at }) => journal.of('started').some((start) => start.id === id && start.at < at));
        const isWarned = journal.of('log').some(({ message }) => message.includes('The clock of this worker is'));
        expect(early.length > 0).toBe(workersKeepHolds && which === 'worker' && ahead > 0);
        expect(isWarned).toBe(workersKeepHolds && which === 'worker');
        conclude({
          what: `${who} by a minute`,
          on,
          journal,
          remark: `${early.length === 0 ? 'none' : early.length} ran before their responses had ended${isWarned ? '; the log told of the clock' : ''}`,
        });
      },
      TIMEOUT,
    );
  });
}

function idsOf(
  journal: Journal,
  kind: Parameters<Journal['of']>[0],
  isMeant: (entry: Journal['entries'][number]) => boolean,
): readonly string[] {
  return journal
    .of(kind)
    .filter(isMeant)
    .map(({ id }) => id);
}
