/** Calls that race with the end of a hold, or with each other. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { DiscardResult, ReleaseResult } from '../../durable/engine.ts';
import type { Cases, Rig } from './rig.ts';

const AT_THE_EDGE = 400;
/** How many tasks are staged together, so that their holds end at once. */
const GROUP = 8;
const HOLD = 700;
/** Every other call is made up to this many milliseconds before or after the end of the hold. */
const SPREAD = 30;
/** The other calls are made up to this many milliseconds after it: a worker that polls notices the end of a hold late. */
const AFTERMATH = 1_200;
const AT_ONCE = 100;

/** Stages tasks, and makes a call about each close to the end of its hold. Resolves when all holds are over. */
async function atTheEdge<Result>(
  rig: Rig,
  call: (ids: string[]) => Promise<readonly Result[]>,
): Promise<Map<string, Result>> {
  const results = new Map<string, Result>();
  const calls: Promise<void>[] = [];
  for (let count = 0; count < AT_THE_EDGE; count += GROUP) {
    const tasks = rig.tasks(GROUP, { holdMs: HOLD });
    const since = performance.now();
    const ids = await rig.stage(tasks);
    const part = count / AT_THE_EDGE;
    const offset = (count / GROUP) % 2 === 0 ? (2 * part - 1) * SPREAD : part * AFTERMATH;
    const callAtEdge = async (): Promise<void> => {
      await delay(since + HOLD + offset - performance.now());
      const answers = await call(ids);
      for (const [index, id] of ids.entries()) results.set(id, answers[index] as Result);
    };
    calls.push(callAtEdge());
  }
  await Promise.all(calls);
  await rig.drain(HOLD);
  return results;
}

function startsById(rig: Rig): Map<string, number> {
  const starts = new Map<string, number>();
  for (const { id } of rig.starts) starts.set(id, (starts.get(id) ?? 0) + 1);
  return starts;
}

export const races: Cases = {
  'released at the edge of its hold, each of hundreds of tasks runs once': async (rig) => {
    await rig.work(undefined, { concurrency: 5 });
    await rig.work(undefined, { concurrency: 5, engine: await rig.second() });
    const results = await atTheEdge<ReleaseResult>(rig, (ids) => rig.engine.release(ids));
    const starts = startsById(rig);
    for (const [id, result] of results) {
      assert.ok(result === 'released' || result === 'already', `release() answered ${result}`);
      assert.equal(starts.get(id) ?? 0, 1, `starts of a task whose release answered ${result}`);
    }
    assert.equal(results.size, AT_THE_EDGE);
  },

  'discarded at the edge of its hold, each of hundreds of tasks runs never or once, as the answer says': async (
    rig,
  ) => {
    await rig.work(undefined, { concurrency: 5 });
    await rig.work(undefined, { concurrency: 5, engine: await rig.second() });
    const results = await atTheEdge<DiscardResult>(rig, (ids) => rig.engine.discard(ids));
    const starts = startsById(rig);
    for (const [id, result] of results) {
      assert.equal(
        starts.get(id) ?? 0,
        result === 'discarded' ? 0 : 1,
        `starts of a task whose discard answered ${result}`,
      );
    }
    assert.equal(results.size, AT_THE_EDGE);
  },

  'of a release and a discard at once, exactly one takes effect': async (rig) => {
    const other = await rig.second();
    await rig.work(undefined, { concurrency: 5 });
    const ids = await rig.stage(rig.tasks(AT_ONCE));
    const answers = await Promise.all(
      ids.map((id, index) => {
        const [releasing, discarding] = index % 2 === 0 ? [rig.engine, other] : [other, rig.engine];
        return Promise.all([releasing.release([id]), discarding.discard([id])]);
      }),
    );
    await rig.drain();
    const starts = startsById(rig);
    for (const [index, [[released], [discarded]]] of answers.entries()) {
      const runs = discarded === 'discarded' ? 0 : 1;
      assert.equal(starts.get(ids[index] as string) ?? 0, runs, `starts after '${released}' and '${discarded}'`);
      assert.equal(
        released,
        runs === 1 ? 'released' : 'already',
        `release() beside a discard() that answered '${discarded}'`,
      );
    }
  },

  'released by two at once, a task runs once, and one of them was first': async (rig) => {
    const other = await rig.second();
    await rig.work(undefined, { concurrency: 5 });
    const ids = await rig.stage(rig.tasks(AT_ONCE));
    const answers = await Promise.all(ids.map((id) => Promise.all([rig.releaseOne(id), rig.releaseOne(id, other)])));
    await rig.drain();
    const starts = startsById(rig);
    for (const [index, both] of answers.entries()) {
      assert.equal(starts.get(ids[index] as string) ?? 0, 1);
      assert.deepEqual(both.sort(), ['already', 'released']);
    }
  },

  'staged by two at once, the same id is one task': async (rig) => {
    const other = await rig.second();
    await rig.work(undefined, { concurrency: 5 });
    const tasks = rig.tasks(AT_ONCE, { holdMs: 0 });
    await Promise.all(tasks.flatMap((task) => [rig.stage([task]), rig.stage([task], other)]));
    await rig.drain();
    const starts = startsById(rig);
    for (const { envelope } of tasks) assert.equal(starts.get(envelope.id) ?? 0, 1);
  },
};
