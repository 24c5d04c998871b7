/** Which task goes first, and how many run at once. */
import assert from 'node:assert/strict';
import { type Cases, COMPLETED, type Gate, isSame, MANY, type Rig, type Start } from './rig.ts';

/** A worker whose tasks end one by one, when their gates are opened. */
async function gatedWorker(rig: Rig, concurrency: number): Promise<{ readonly gates: Gate[]; most(): number }> {
  const gates: Gate[] = [];
  let inFlight = 0;
  let most = 0;
  await rig.work(
    async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      const gate = rig.gate();
      gates.push(gate);
      await gate.opened;
      inFlight -= 1;
      return COMPLETED;
    },
    { concurrency },
  );
  return { gates, most: () => most };
}

const idsOf = (starts: readonly Start[]): string[] => starts.map(({ id }) => id);

export const order: Cases = {
  'tasks of one release start in the order in which they were staged': async (rig) => {
    await rig.work();
    const ids = await rig.stage(rig.tasks(20));
    await rig.engine.release(ids);
    await rig.untilState(ids, 'completed');
    isSame(idsOf(rig.starts), ids);
  },

  'tasks that are released call by call, before a worker runs, start in that order': async (rig) => {
    const ids = await rig.stage(rig.tasks(20));
    for (let first = 0; first < ids.length; first += 4) await rig.engine.release(ids.slice(first, first + 4));
    await rig.work();
    await rig.untilState(ids, 'completed');
    isSame(idsOf(rig.starts), ids);
  },

  'tasks without a hold start in the order in which they were staged': async (rig) => {
    await rig.work();
    const ids: string[] = [];
    for (let calls = 0; calls < 5; calls += 1) ids.push(...(await rig.stage(rig.tasks(4, { holdMs: 0 }))));
    await rig.untilState(ids, 'completed');
    isSame(idsOf(rig.starts), ids);
  },

  'the highest priority goes first, and the rest of each in the order staged': async (rig) => {
    const priorities = [0, -100, 5, 100, 0, -1, 5, 99, -100, 1];
    const tasks = priorities.map((priority, index) => rig.task({ priority, holdMs: index < 5 ? 0 : 600_000 }));
    const ids = await rig.stage(tasks);
    await rig.engine.release(ids);
    await rig.work();
    await rig.untilState(ids, 'completed');
    isSame(
      rig.starts.map(({ id }) => priorities[ids.indexOf(id)]),
      [...priorities].sort((one, other) => other - one),
    );
  },

  'as many tasks run at once as the concurrency allows, and no more': async (rig) => {
    const concurrency = 3;
    const { gates, most } = await gatedWorker(rig, concurrency);
    const ids = await rig.stage(rig.tasks(9, { holdMs: 0 }));
    for (let ended = 0; ended + concurrency <= ids.length; ended += 1) {
      // The next task starts while the others still run.
      await rig.untilStarted(ended + concurrency);
      gates[ended]?.open();
    }
    for (const gate of gates) gate.open();
    await rig.untilState(ids, 'completed');
    assert.equal(most(), concurrency);
    assert.equal(rig.starts.length, ids.length);
  },

  'running tasks do not hold up later ones': async (rig) => {
    const { gates } = await gatedWorker(rig, 2);
    await rig.stageOne({ holdMs: 0 });
    await rig.untilStarted(1);
    const later = await rig.stageOne();
    await rig.releaseOne(later);
    await rig.untilStarted(2);
    gates[1]?.open();
    await rig.untilState([later], 'completed');
    assert.equal(await rig.state(rig.starts[0]?.id as string), 'running');
  },

  'hundreds of tasks are worked off one after the other, without a pause at each': async (rig) => {
    await rig.work(undefined, { concurrency: 10 });
    const ids = await rig.stage(rig.tasks(MANY, { holdMs: 0 }));
    await rig.untilStarted(MANY);
    await rig.drain();
    assert.equal(new Set(idsOf(rig.starts)).size, ids.length);
    assert.equal(rig.starts.length, ids.length);
  },
};
