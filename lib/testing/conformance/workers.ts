/** Workers that come and go, and engines that are started and closed. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cases, COMPLETED, isSame, LONG_HOLD } from './rig.ts';

export const workers: Cases = {
  'stop() waits for what runs, and fetches no more': async (rig) => {
    const gate = rig.gate();
    let ended = 0;
    const worker = await rig.work(async () => {
      await gate.opened;
      ended += 1;
      return COMPLETED;
    });
    const ids = await rig.stage(rig.tasks(10, { holdMs: 0 }));
    await rig.untilStarted(1);
    let isStopped = false;
    const stopped = worker.stop().then(() => {
      isStopped = true;
    });
    for (const id of ids) await rig.engine.find(id);
    assert.equal(isStopped, false, 'stopped while a task runs');
    gate.open();
    await stopped;
    assert.equal(ended, rig.starts.length);
    assert.ok(rig.starts.length < ids.length, 'all tasks were fetched');

    const left = ids.slice(rig.starts.length);
    for (const id of left) assert.equal(await rig.state(id), 'waiting');
    await rig.work();
    await rig.untilState(ids, 'completed');
    await rig.drain();
    assert.equal(rig.starts.length, ids.length);
  },

  'stop() of a worker without work resolves, as often as it is called': async (rig) => {
    const worker = await rig.work();
    await Promise.all([worker.stop(), worker.stop()]);
    await worker.stop();
    const id = await rig.stageOne({ holdMs: 0 });
    assert.equal(await rig.state(id), 'waiting');
    await rig.work();
    await rig.untilState([id], 'completed');
    assert.equal(rig.starts[0]?.worker, 2);
  },

  'what one connection stages another releases, finds and runs': async (rig) => {
    const other = await rig.second();
    await rig.work(undefined, { engine: other });
    const id = await rig.stageOne();
    assert.equal((await other.find(id))?.state, 'held');
    assert.equal(await rig.releaseOne(id, other), 'released');
    await rig.untilState([id], 'completed');
    assert.equal((await other.find(id))?.state, 'completed');

    const discarded = await rig.stageOne({}, other);
    isSame(await rig.engine.discard([discarded]), ['discarded']);
    assert.equal(await other.find(discarded), undefined);
    await rig.drain();
    assert.equal(rig.starts.length, 1);
  },

  'a hold ends without the process that began it': async (rig) => {
    const other = await rig.second();
    if (other === rig.engine) return;
    const id = await rig.stageOne({ holdMs: 500 }, other);
    await other.close();
    await rig.work();
    await rig.untilState([id], 'completed');
    assert.equal(rig.startsOf(id), 1);
  },

  'two workers share the tasks, and none runs twice': async (rig) => {
    const gate = rig.gate();
    const wait = async () => {
      await gate.opened;
      return COMPLETED;
    };
    await rig.work(wait);
    await rig.work(wait, { engine: await rig.second() });
    const ids = await rig.stage(rig.tasks(100, { holdMs: 0 }));
    // Each worker runs one task at a time.
    await rig.untilStarted(2);
    isSame(rig.starts.map(({ worker }) => worker).sort(), [1, 2]);
    gate.open();
    await rig.untilState(ids, 'completed');
    await rig.drain();
    isSame(rig.starts.map(({ id }) => id).sort(), [...ids].sort());
  },

  'two workers on one connection both get tasks, and each works without the other': async (rig) => {
    const gate = rig.gate();
    const wait = async () => {
      await gate.opened;
      return COMPLETED;
    };
    const first = await rig.work(wait);
    await rig.work(wait);
    const ids = await rig.stage(rig.tasks(20, { holdMs: 0 }));
    await rig.untilStarted(2);
    isSame(rig.starts.map(({ worker }) => worker).sort(), [1, 2]);
    gate.open();
    await rig.untilState(ids, 'completed');
    await first.stop();
    ids.push(await rig.stageOne({ holdMs: 0 }));
    await rig.untilState(ids, 'completed');
    assert.equal(rig.starts.at(-1)?.worker, 2);
    isSame(rig.starts.map(({ id }) => id).sort(), [...ids].sort());
  },

  'a task whose worker dies in the middle of it is run again, as the next attempt': async (rig) => {
    const dying = await rig.second();
    if (dying === rig.engine) return;
    const gate = rig.gate();
    await rig.work(() => gate.opened.then(() => ({ kind: 'completed', value: 'of the dead' })), { engine: dying });
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 2 } });
    await rig.untilStarted(1);
    // Without stop(): for the task this is as if the process had died.
    await dying.close();
    await rig.work(() => ({ kind: 'completed', value: 'of the living' }));
    await rig.untilRecovered('the task was started again', () => rig.startsOf(id) === 2);
    isSame([rig.starts[1]?.worker, rig.starts[1]?.context.attempt], [2, 2]);
    const { attempts } = await rig.untilState([id], 'completed');
    assert.equal(attempts, 2);
    gate.open();
    await rig.drain();
    assert.equal((await rig.engine.find(id))?.value, 'of the living');
    assert.equal(rig.startsOf(id), 2);
  },

  'tasks wait for a worker that comes later': async (rig) => {
    const other = await rig.second();
    const holdMs = 200;
    const ids = await rig.stage([rig.task({ holdMs: 0 }), rig.task({ holdMs }), rig.task()]);
    await rig.releaseOne(ids[2] as string);
    // An engine need not notice the end of a hold while it has no worker.
    await delay(holdMs);
    await rig.work(undefined, { engine: other });
    await rig.untilState(ids, 'completed');
    assert.equal(rig.starts.length, ids.length);
  },

  'an engine may be started twice, and closed twice': async (rig) => {
    await rig.engine.start(rig.host);
    const id = await rig.stageOne();
    assert.equal(await rig.state(id), 'held');
    await rig.engine.close();
    await rig.engine.close();
  },

  'an engine that was never started is closed without trouble': async (rig) => {
    const unstarted = await rig.unstarted();
    await unstarted?.close();
  },

  'a closed engine fetches no more, and answers or rejects': async (rig) => {
    const other = await rig.second();
    await rig.work(undefined, { engine: other });
    const warm = await rig.stageOne({ holdMs: 0 });
    await rig.until('a first task ran', () => rig.startsOf(warm) === 1);
    await rig.untilState([warm], 'completed');
    if (other === rig.engine) {
      await rig.engine.close();
    } else {
      await other.close();
      const id = await rig.stageOne({ holdMs: 0 });
      await rig.work();
      await rig.untilState([id], 'completed');
      assert.equal(rig.starts.at(-1)?.worker, 2);
    }
    const calls = [
      other.stage([rig.task({ holdMs: LONG_HOLD })], {}),
      other.release([warm]),
      other.discard([warm]),
      other.find(warm),
      other.stats(),
    ];
    for (const { reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) {
      assert.ok(!(reason instanceof assert.AssertionError), reason?.message);
    }
  },
};
