// pg-boss by hand, with its fastest settings: a job that starts in a minute, and is made to start now.
import { PgBoss } from 'pg-boss';

const HOLD_SECONDS = 60;

async function open({ url, queue }) {
  const boss = new PgBoss({ connectionString: url, schema: 'raw', useListenNotify: true });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(queue, { notify: true });
  return boss;
}

export async function openProducer(place) {
  const { queue } = place;
  const boss = await open(place);
  return {
    async stage(key) {
      await boss.send(queue, { key }, { id: key, startAfter: HOLD_SECONDS });
      return key;
    },
    release: (key) => boss.update(queue, undefined, { id: key, startAfter: 0 }),
  };
}

export async function openWorker(place, run, concurrency) {
  const boss = await open(place);
  const settings = {
    batchSize: concurrency,
    burstWhenBatchFull: true,
    perJobResults: true,
    pollingIntervalSeconds: 1,
    notifyPollingIntervalSeconds: 1,
  };
  await boss.work(place.queue, settings, async (jobs) => {
    for (const { data } of jobs) run(data.key);
    return jobs.map(({ id }) => ({ id, status: 'completed' }));
  });
}
