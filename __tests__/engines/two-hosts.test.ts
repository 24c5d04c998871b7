import { expect, it, jest } from '@jest/globals';
import { Queue } from 'bullmq';
import { atEnd } from '../support/cleanup.ts';
import { conclude } from './support/proof-findings.ts';
import { now } from './support/proof-journal.ts';
import { load, ProofPrograms, untilDone } from './support/proof-programs.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';
import { noSecondHost, startSecondHost } from './support/second-host.ts';

jest.setTimeout(120_000);

const CUT_FOR = 4_000;
/** A link is checked every five seconds, and given up after another five without an answer. */
const CUT_IS_SEEN_WITHIN = 10_000;
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
    const queue = new Queue('background-tasks', { connection: { port } });
    atEnd(() => queue.close());
    const { journal } = here;
    const web = await here.web();
    await there.worker({ within: host.within });
    const loading = load(web, 'ms=50&after=20', 3);
    await journal.until(() => journal.ids('ended').length >= 20);

    host.cut();
    const mended = new Promise((resolve) => setTimeout(resolve, CUT_FOR));
    // What Redis has given to the worker without having received its end, even if the reply was lost on the way.
    const inHand = (await queue.getActive()).map(({ id }) => String(id));
    // Tasks are taken as before: the web process and its engine are on this side.
    const before = journal.ids('accepted').length;
    await journal.until(() => journal.ids('accepted').length >= before + 20);
    await mended;
    host.mend();
    const mendedAt = now();

    const endedBefore = journal.ids('ended').length;
    await journal.until(() => journal.ids('ended').length >= endedBefore + 20);
    const statuses = await loading.stop();
    await untilDone(journal, web);
    expect(new Set(statuses)).toEqual(new Set([202]));
    conclude({
      what: `the link between two hosts (network namespaces) cut for ${CUT_FOR / 1_000} s in mid-flight`,
      on: 'Redis, `everysec`',
      journal,
      mayRunTwice: inHand,
      again: { afterMs: journal.msUntilAnyStart(mendedAt), withinMs: CUT_IS_SEEN_WITHIN - CUT_FOR },
      remark: 'the worker goes on by itself',
    });
  });
} else {
  it.skip(`two hosts (not tried: ${missing})`, () => {});
}
