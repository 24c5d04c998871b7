// pg-boss by hand, with the settings under which it is quick: a job that starts in a minute, and is made to start now.
import { PgBoss } from 'pg-boss';

const QUEUE = 'raw';
const HOLD_SECONDS = 60;

async function open(url) {
  const boss = new PgBoss({ connectionString: url, schema: 'raw', useListenNotify: true });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  return boss;
}

export async function openProducer(url) {
  const boss = await open(url);
  return {
    async stage(key) {
      await boss.send(QUEUE, { key }, { id: key, startAfter: HOLD_SECONDS });
      return key;
    },
    release: (key) => boss.update(QUEUE, undefined, { id: key, startAfter: 0 }),
  };
}

export async function openWorker(url, run, concurrency) {
  const boss = await open(url);
  const settings = {
    batchSize: concurrency,
    burstWhenBatchFull: true,
    perJobResults: true,
    pollingIntervalSeconds: 1,
    notifyPollingIntervalSeconds: 1,
  };
  await boss.work(QUEUE, settings, async (jobs) => {
    for (const { data } of jobs) run(data.key);
    return jobs.map(({ id }) => ({ id, status: 'completed' }));
  });
}
