/** What the documentation promises of durable tasks, tried by killing whatever can be killed. One suite for all engines. */
import { appendFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { fixture } from '../../support/worker-kinds.ts';
import { type Journal, load, ProofPrograms, untilDone, untilNothingIsLeft } from './proof-programs.ts';

/** A server of an engine, of the test's own. */
export interface EngineServer {
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface EngineUnderProof {
  /** As the programs import it. */
  readonly name: 'bullmq' | 'pgBoss';
  startServer(): Promise<EngineServer & { readonly url: string }>;
  /** Options under which a worker's death is noticed soon. */
  readonly quick: object;
  /** Whether it is the clocks of workers that end holds. */
  readonly workersKeepHolds: boolean;
}

const TIMEOUT = 120_000;
const KILLS = 20;
const FIGURES = process.env['ENGINE_PROOF'];

/** For the table in the documentation. */
function record(engine: string, journal: Journal, figures: Readonly<Record<string, unknown>> = {}): void {
  if (FIGURES === undefined) return;
  const test = expect.getState().currentTestName;
  const accepted = journal.ids('accepted').length;
  const facts = {
    engine,
    test,
    accepted,
    lost: journal.missing.length,
    twice: journal.startedTwice.length,
    ...figures,
  };
  appendFileSync(FIGURES, `${JSON.stringify(facts)}\n`);
}

export function proveEngine({ name, startServer, quick, workersKeepHolds }: EngineUnderProof): void {
  const prove = (sentence: string, body: () => Promise<void>): void => it(sentence, body, TIMEOUT);

  async function programsOn(connection: string, options: object = quick): Promise<ProofPrograms> {
    return new ProofPrograms(name, { connection, ...options });
  }

  describe('a web process that is killed', () => {
    prove(
      `${KILLS} times under load, right after the engine has accepted tasks, loses none and doubles none`,
      async () => {
        const programs = await programsOn((await startServer()).url);
        const { journal } = programs;
        await programs.worker();
        for (let kill = 1; kill <= KILLS; kill += 1) {
          const web = await programs.web({ env: { HOLD: '1500' } });
          const before = journal.of('accepted').length;
          // Half of the responses never end: nobody will release their tasks.
          const loads = [load(web, 'after=never', 3), load(web, 'ms=1', 3)];
          await journal.until(() => journal.of('accepted').length >= before + 10);
          await web.kill('SIGKILL');
          await Promise.all(loads.map((one) => one.stop()));
        }
        await untilDone(journal, await programs.web());
        record(name, journal, { kills: KILLS });
        expect(journal.ids('accepted').length).toBeGreaterThanOrEqual(10 * KILLS);
        expect([journal.missing, journal.startedTwice]).toEqual([[], []]);
      },
    );
  });

  describe('a worker', () => {
    prove(
      'that is killed in the middle of tasks loses none: another runs what it had, and only that, again',
      async () => {
        const programs = await programsOn((await startServer()).url);
        const { journal } = programs;
        const web = await programs.web();
        const [first] = await Promise.all([programs.worker(), programs.worker()]);
        await Promise.all(Array.from({ length: 40 }, () => web.post('ms=200')));
        await journal.until(() => journal.underWayIn(first.pid).length >= 2);
        await first.kill('SIGKILL');
        const killedAt = performance.now();
        const underWay = journal.underWayIn(first.pid);
        await untilDone(journal, web);
        const again = journal.of('started').filter(({ id, at }) => underWay.includes(id) && at > killedAt);
        record(name, journal, {
          underWay: underWay.length,
          againAfterMs: Math.round(Math.max(...again.map(({ at }) => at)) - killedAt),
        });
        expect(journal.startedTwice.filter((id) => !underWay.includes(id))).toEqual([]);
        expect(again.map(({ id }) => id).sort()).toEqual([...underWay].sort());
        expect(again.every(({ attempt }) => attempt === 2)).toBe(true);
      },
    );

    prove('that gets SIGTERM finishes what it has', async () => {
      const programs = await programsOn((await startServer()).url);
      const { journal } = programs;
      const web = await programs.web();
      const worker = await programs.worker();
      await Promise.all(Array.from({ length: 8 }, () => web.post('ms=300')));
      await journal.until(() => journal.underWayIn(worker.pid).length === 4);
      await worker.kill('SIGTERM');
      expect(journal.underWayIn(worker.pid)).toEqual([]);
      await programs.worker();
      await untilDone(journal, web);
      record(name, journal);
      expect(journal.startedTwice).toEqual([]);
    });

    prove(
      'that has no time for that gives it back: it runs elsewhere, at once, as if it had not been tried',
      async () => {
        const programs = await programsOn((await startServer()).url, {});
        const { journal } = programs;
        const web = await programs.web();
        const worker = await programs.worker({ env: { CLOSE_TIMEOUT: '50' } });
        await Promise.all(Array.from({ length: 4 }, () => web.post('ms=1000')));
        await journal.until(() => journal.underWayIn(worker.pid).length === 4);
        await worker.kill('SIGTERM');
        const underWay = journal.underWayIn(worker.pid);
        const other = await programs.worker();
        await untilDone(journal, web);
        record(name, journal);
        expect(underWay).toHaveLength(4);
        expect(
          journal
            .of('started')
            .filter(({ pid }) => pid === other.pid)
            .map(({ attempt }) => attempt),
        ).toEqual([1, 1, 1, 1]);
      },
    );
  });

  describe('an engine that goes away', () => {
    it.each([
      ['stopped', 'stop'],
      ['killed', 'kill'],
    ] as const)(
      'and is %s in mid-flight, loses nothing that it has accepted, and all go on by themselves',
      async (_how, end) => {
        const server = await startServer();
        const programs = await programsOn(server.url);
        const { journal } = programs;
        const web = await programs.web({ env: { HOLD: '3000' } });
        await programs.worker();
        const loads = [load(web, 'ms=20', 3), load(web, 'ms=20&after=100', 3)];
        await journal.until(() => journal.ids('ended').length >= 50);
        await server[end]();
        const refused = await web.post();
        await server.start();
        const before = journal.ids('accepted').length;
        await journal.until(() => journal.ids('accepted').length >= before + 50);
        const statuses = (await Promise.all(loads.map((one) => one.stop()))).flat();
        await untilDone(journal, web);
        record(name, journal, { refused: statuses.filter((status) => status === 503).length });
        expect(refused).toBe(503);
        expect(journal.missing).toEqual([]);
        // What ran when it went away may have to run again; what was only accepted may not.
        expect(journal.endedTwice.length).toBeLessThanOrEqual(8);
      },
      TIMEOUT,
    );

    prove(
      'and was not there at the start: handlers answer 503, workers wait, and both begin when it is there',
      async () => {
        const server = await startServer();
        await server.stop();
        const programs = await programsOn(server.url);
        const { journal } = programs;
        const [web] = await Promise.all([
          programs.web({ env: { ACCEPT_TIMEOUT: '500' } }),
          programs.worker({ isWorking: false }),
        ]);
        expect(await web.post()).toBe(503);
        await server.start();
        while ((await web.post()) !== 202);
        await untilDone(journal, web);
        record(name, journal);
        expect(journal.startedTwice).toEqual([]);
      },
    );
  });

  describe('holds that end while their tasks are released or discarded', () => {
    prove('let each task run once, or never', async () => {
      const HOLD = 1_000;
      const programs = await programsOn((await startServer()).url);
      const { journal } = programs;
      const web = await programs.web({ env: { HOLD: String(HOLD) } });
      await programs.worker({ env: { CONCURRENCY: '20' } });
      const requests = Array.from({ length: 300 }, (_, index) => {
        const after = Math.round((1.5 * HOLD * index) / 300);
        return web.post(`after=${after}&status=${index % 2 === 0 ? 202 : 500}`);
      });
      await Promise.all(requests);
      await journal.until(() => journal.of('settled').length === 300);
      const skipped = new Set(
        journal
          .of('settled')
          .filter(({ state }) => state === 'skipped')
          .map(({ id }) => id),
      );
      const reported = new Set(
        journal
          .of('log')
          .filter(({ code }) => code === 'ERR_BACKGROUND_NOT_DISCARDED')
          .map(({ id }) => id),
      );
      const mustRun = journal.ids('accepted').filter((id) => !skipped.has(id));
      await journal.until(() => mustRun.every((id) => journal.ids('ended').includes(id)));
      await untilNothingIsLeft(web);
      const ranThoughSkipped = journal.ids('started').filter((id) => skipped.has(id));
      const lost = mustRun.filter((id) => !journal.ids('ended').includes(id)).length;
      record(name, journal, {
        lost,
        skipped: skipped.size,
        reported: reported.size,
        ranThoughSkipped: ranThoughSkipped.length,
      });
      expect(skipped.size).toBe(150);
      expect(journal.startedTwice).toEqual([]);
      expect(ranThoughSkipped.filter((id) => !reported.has(id))).toEqual([]);
    });
  });

  describe('a deploy in two halves', () => {
    prove('loses no task that the old workers do not know: the new ones run it', async () => {
      const programs = await programsOn((await startServer()).url);
      const { journal } = programs;
      const web = await programs.web();
      await programs.worker({ env: { DEPLOY: 'old' } });
      await Promise.all([web.post('task=later'), web.post('task=run')]);
      await journal.until(() => journal.of('log').some(({ code }) => code === 'ERR_BACKGROUND_UNKNOWN_TASK'));
      const updated = await programs.worker();
      await untilDone(journal, web);
      record(name, journal);
      expect(
        journal
          .of('started')
          .filter(({ pid }) => pid === updated.pid)
          .map(({ attempt }) => attempt),
      ).toContain(1);
      expect(journal.startedTwice).toEqual([]);
    });

    prove('keeps as failed what nobody has known for too long', async () => {
      const programs = await programsOn((await startServer()).url);
      const { journal } = programs;
      const web = await programs.web();
      await web.post('task=later');
      await programs.worker({ env: { DEPLOY: 'old', UNKNOWN_FOR: '0' } });
      const [id] = journal.ids('accepted');
      let found: { state: string; error?: { code?: string } };
      do found = await web.get(`/tasks/${id}`);
      while (found.state !== 'failed');
      expect(found.error?.code).toBe('ERR_BACKGROUND_UNKNOWN_TASK');
    });
  });

  describe('machines whose clocks differ by a minute', () => {
    it.each([
      ['a worker that is ahead', 'worker', 60_000],
      ['a worker that is behind', 'worker', -60_000],
      ['a web process that is ahead', 'web', 60_000],
      ['a web process that is behind', 'web', -60_000],
    ] as const)(
      'lose nothing and double nothing: %s',
      async (_name, which, ahead) => {
        const programs = await programsOn((await startServer()).url, {});
        const { journal } = programs;
        const shifted = {
          execArgv: ['--import', fixture('engine-other-clock.mjs').href],
          env: { CLOCK_AHEAD: String(ahead), HOLD: '20000' },
        };
        const web = await programs.web(which === 'web' ? shifted : { env: { HOLD: '20000' } });
        await programs.worker(which === 'worker' ? shifted : {});
        await Promise.all(Array.from({ length: 20 }, (_, index) => web.post(`after=${index * 20}`)));
        await untilDone(journal, web);
        const isEarly = journal.of('started').some(({ id, at }) => {
          const settled = journal.of('settled').find((entry) => entry.id === id);
          return settled === undefined || at < settled.at - 1_000;
        });
        record(name, journal, { isEarly });
        expect(journal.startedTwice).toEqual([]);
        // Where workers end holds, one that is ahead does so too soon; the docs say so, and the log does.
        const isWarned = journal.of('log').some(({ message }) => message.includes('The clock of this worker is'));
        expect(isWarned).toBe(workersKeepHolds && which === 'worker');
      },
      TIMEOUT,
    );
  });
}
