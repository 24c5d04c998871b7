/** Staged, held, and then released, discarded, or left alone. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type Cases, COMPLETED, isSame, LONG_HOLD, MANY, MOST_OF, type Start } from './rig.ts';

/** Long enough for a call to be made before the hold is over. */
const SHORT_HOLD = 1_500;
/** Longer than a timer takes that Node has cut down to a millisecond. */
const MOMENT = 100;
/** Long enough that a fifth of it is more than timers and clocks are off. */
const TIMED_HOLD = 900;

export const holds: Cases = {
  'a staged task does not run before it is released': async (rig) => {
    await rig.work();
    const id = await rig.stageOne();
    await rig.drain();
    assert.equal(rig.startsOf(id), 0);
    assert.equal(await rig.state(id), 'held');
  },

  'a released task runs, once': async (rig) => {
    await rig.work();
    const id = await rig.stageOne();
    assert.equal(await rig.releaseOne(id), 'released');
    await rig.untilState([id], 'completed');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'a task that is released twice was released already, and runs once': async (rig) => {
    const id = await rig.stageOne();
    assert.equal(await rig.releaseOne(id), 'released');
    assert.equal(await rig.releaseOne(id), 'already', 'the second release, before the task ran');
    await rig.work();
    await rig.untilState([id], 'completed');
    assert.equal(await rig.releaseOne(id), 'already', 'the third release, after the task ran');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'a release of a missing task says so, and the others are released': async (rig) => {
    const id = await rig.stageOne();
    isSame(await rig.engine.release([randomUUID(), id]), ['already', 'released']);
    isSame(await rig.engine.release([]), []);
    await rig.work();
    await rig.untilState([id], 'completed');
    assert.equal(rig.starts.length, 1);
  },

  'hundreds of tasks are released in one call, and each runs once': async (rig) => {
    const gone = await rig.stageOne();
    isSame(await rig.engine.discard([gone]), ['discarded']);
    const ids = await rig.stage(rig.tasks(MANY - 1));
    isSame(await rig.engine.release([gone, ...ids]), ['already', ...ids.map(() => 'released')]);
    await rig.untilStats({ held: 0, waiting: ids.length, running: 0, failed: 0 });
    await rig.work(undefined, { concurrency: 10 });
    await rig.untilStarted(ids.length);
    await rig.drain();
    isSame(rig.starts.map(({ id }) => id).sort(), [...ids].sort());
  },

  'a discarded task never runs, and is not there any more': async (rig) => {
    await rig.work();
    const id = await rig.stageOne({ holdMs: SHORT_HOLD });
    isSame(await rig.engine.discard([id]), ['discarded']);
    assert.equal(await rig.engine.find(id), undefined);
    assert.equal(await rig.releaseOne(id), 'already');
    await rig.drain(SHORT_HOLD);
    assert.equal(rig.startsOf(id), 0);
  },

  'a discard that is repeated changes nothing': async (rig) => {
    await rig.work();
    const [id, other] = (await rig.stage(rig.tasks(2))) as [string, string];
    isSame(await rig.engine.discard([id]), ['discarded']);
    const [second] = await rig.engine.discard([id]);
    assert.ok(second === 'discarded' || second === 'too-late', `discard() answered ${second}`);
    isSame(await rig.engine.discard([]), []);
    await rig.drain();
    assert.equal(rig.startsOf(id), 0);
    assert.equal(await rig.state(other), 'held');
  },

  'a discard of several answers for each': async (rig) => {
    const [held, released, other] = (await rig.stage(rig.tasks(3))) as [string, string, string];
    await rig.releaseOne(released);
    isSame(await rig.engine.discard([held, released, other]), ['discarded', 'too-late', 'discarded']);
    await rig.work();
    await rig.drain();
    isSame(
      rig.starts.map(({ id }) => id),
      [released],
    );
  },

  'hundreds of tasks are discarded in one call, and never run': async (rig) => {
    const ids = await rig.stage(rig.tasks(MANY));
    const released = ids.at(-1) as string;
    await rig.releaseOne(released);
    const answers = await rig.engine.discard(ids);
    isSame(answers, [...ids.slice(1).map(() => 'discarded'), 'too-late']);
    await rig.untilStats({ held: 0, waiting: 1, running: 0, failed: 0 });
    await rig.work();
    await rig.drain();
    isSame(
      rig.starts.map(({ id }) => id),
      [released],
    );
  },

  'a task that waits to run is not discarded any more': async (rig) => {
    const [released, unheld] = (await rig.stage([rig.task(), rig.task({ holdMs: 0 })])) as [string, string];
    await rig.releaseOne(released);
    isSame(await rig.engine.discard([released, unheld]), ['too-late', 'too-late']);
    await rig.work();
    await rig.untilState([released, unheld], 'completed');
    assert.equal(rig.starts.length, 2);
  },

  'a running task is not discarded, and ends as it would have': async (rig) => {
    const gate = rig.gate();
    await rig.work(async () => {
      await gate.opened;
      return { kind: 'completed', value: 'done' };
    });
    const id = await rig.stageOne({ holdMs: 0 });
    await rig.untilStarted(1);
    isSame(await rig.engine.discard([id]), ['too-late']);
    assert.equal(await rig.releaseOne(id), 'already');
    gate.open();
    assert.equal((await rig.untilState([id], 'completed')).value, 'done');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'a finished task is not discarded, and stays to be found': async (rig) => {
    await rig.work(({ envelope }) =>
      envelope.args[0] === 'fail' ? { kind: 'failed', error: new Error('as asked'), retry: false } : COMPLETED,
    );
    const [completed, failed] = (await rig.stage([
      rig.task({ holdMs: 0 }),
      rig.task({ holdMs: 0, envelope: { args: ['fail'] } }),
    ])) as [string, string];
    await rig.untilState([completed], 'completed');
    await rig.untilState([failed], 'failed');
    isSame(await rig.engine.discard([completed, failed]), ['too-late', 'too-late']);
    isSame(await rig.engine.release([completed, failed]), ['already', 'already']);
    assert.equal(await rig.state(completed), 'completed');
    assert.equal(await rig.state(failed), 'failed');
    await rig.drain();
    assert.equal(rig.starts.length, 2);
  },

  'a hold without a release ends by itself, and the task runs once': async (rig) => {
    await rig.work();
    const id = await rig.stageOne({ holdMs: SHORT_HOLD });
    assert.equal(await rig.state(id), 'held');
    await rig.untilState([id], 'completed');
    assert.equal(await rig.releaseOne(id), 'already');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'a task does not start before most of its hold is over': async (rig) => {
    await rig.work();
    const since = performance.now();
    const id = await rig.stageOne({ holdMs: TIMED_HOLD });
    await rig.untilStarted(1);
    const [{ at }] = rig.starts as [Start];
    assert.ok(at - since >= MOST_OF * TIMED_HOLD, `started ${at - since} ms after a hold of ${TIMED_HOLD} ms began`);
    await rig.untilState([id], 'completed');
  },

  'a task without a hold runs at once': async (rig) => {
    await rig.work();
    const id = await rig.stageOne({ holdMs: 0 });
    await rig.untilState([id], 'completed');
    assert.equal(await rig.releaseOne(id), 'already');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'the same id staged twice is one task, and the later call changes nothing': async (rig) => {
    const first = rig.task({ envelope: { args: ['first'] } });
    const { id } = first.envelope;
    const later = rig.task({ envelope: { id, args: ['later'] }, holdMs: 0 });
    await rig.stage([first]);
    await rig.stage([later]);
    await rig.work();
    await rig.drain();
    assert.equal(rig.startsOf(id), 0, 'the later call ended the hold');
    await rig.releaseOne(id);
    await rig.untilState([id], 'completed');
    await rig.stage([first]);
    await rig.drain();
    isSame(
      rig.starts.map(({ envelope }) => envelope.args),
      [['first']],
    );
  },

  'the same id twice in one call is one task': async (rig) => {
    const twice = rig.task({ holdMs: 0 });
    const other = rig.task({ holdMs: 0 });
    await rig.stage([twice, twice, other]);
    await rig.work();
    await rig.untilState([twice.envelope.id, other.envelope.id], 'completed');
    await rig.drain();
    assert.equal(rig.starts.length, 2);
  },

  'nothing of a call that failed is left when its tasks are discarded': async (rig) => {
    // What cannot be read, no engine can keep, whatever it makes of arguments. The package itself never sends any.
    const unreadable = {
      get value(): never {
        throw new Error('as asked: this argument cannot be read');
      },
    };
    const good = rig.tasks(3);
    const bad = rig.task({ envelope: { args: [unreadable] } });
    await assert.rejects(rig.stage([...good, bad]));
    await rig.engine.discard([...good, bad].map(({ envelope }) => envelope.id));
    await rig.work();
    await rig.drain();
    assert.equal(rig.starts.length, 0);
    for (const { envelope } of good) assert.equal(await rig.engine.find(envelope.id), undefined);
    await rig.stage([]);
  },

  'tasks of a transaction are there when it is committed, and not when it is rolled back': async (rig) => {
    const { transaction, engine } = rig;
    if (transaction === undefined) return;
    const stageIn = async (end: 'commit' | 'rollback'): Promise<string> => {
      const task = rig.task({ holdMs: 0 });
      await transaction(end, (client) => engine.stage([task], { transaction: client }));
      return task.envelope.id;
    };
    const rolledBack = await stageIn('rollback');
    const committed = await stageIn('commit');
    await rig.work();
    await rig.untilState([committed], 'completed');
    await rig.drain();
    assert.equal(await engine.find(rolledBack), undefined);
    assert.equal(rig.starts.length, 1);
  },

  'a hold may be longer than the longest timer of Node': async (rig) => {
    await rig.work();
    const id = await rig.stageOne({ holdMs: 2 ** 31 + LONG_HOLD });
    await rig.drain(MOMENT);
    assert.equal(rig.startsOf(id), 0);
    assert.equal(await rig.releaseOne(id), 'released');
    await rig.untilState([id], 'completed');
  },
};
