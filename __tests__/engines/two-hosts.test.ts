import { expect, it, jest } from '@jest/globals';
import { load, ProofPrograms, untilDone } from './support/proof-programs.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';
import { noSecondHost, startSecondHost } from './support/second-host.ts';

jest.setTimeout(120_000);

const CUT_FOR = 4_000;
const missing = redisIsInstalled ? noSecondHost : 'redis-server is not installed here';

if (missing === undefined) {
  it('a worker on another host goes on by itself when the link was cut and is mended, and nothing is lost', async () => {
    const host = startSecondHost();
    const { port } = await startRedis({ args: ['--bind', '127.0.0.1', host.ourAddress, '--protected-mode', 'no'] });
    const quick = { lockDuration: 2_000, stalledInterval: 500 };
    const here = new ProofPrograms('bullmq', { connection: `redis://127.0.0.1:${port}`, ...quick });
    const there = new ProofPrograms(
      'bullmq',
      { connection: `redis://${host.ourAddress}:${port}`, ...quick },
      here.journal,
    );
    const { journal } = here;
    const web = await here.web();
    const worker = await there.worker({ within: host.within });
    const loading = load(web, 'ms=50&after=20', 3);
    await journal.until(() => journal.ids('ended').length >= 20);

    const underWay = new Set(journal.underWayIn(worker.pid));
    host.cut();
    const mended = new Promise((resolve) => setTimeout(resolve, CUT_FOR));
    // Tasks are taken as before: the web process and its engine are on this side.
    const before = journal.ids('accepted').length;
    await journal.until(() => journal.ids('accepted').length >= before + 20);
    await mended;
    for (const id of journal.underWayIn(worker.pid)) underWay.add(id);
    host.mend();

    const endedBefore = journal.ids('ended').length;
    await journal.until(() => journal.ids('ended').length >= endedBefore + 20);
    const statuses = await loading.stop();
    await untilDone(journal, web);
    expect(new Set(statuses)).toEqual(new Set([202]));
    expect(journal.missing).toEqual([]);
    // What had begun when the link was cut, or was on its way to the worker, may have run again.
    expect(journal.startedTwice.length).toBeLessThanOrEqual(underWay.size + 4);
  });
} else {
  it.skip(`two hosts (not tried: ${missing})`, () => {});
}
