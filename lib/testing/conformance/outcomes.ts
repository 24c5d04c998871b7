/** What becomes of a task: its attempts, its end, and what find() tells of it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { EngineRetry, WorkResult } from '../../durable/engine.ts';
import { SECOND } from '../../time/timers.ts';
import { type Cases, COMPLETED, isSame, MOST_OF, type Rig, type Start } from './rig.ts';

/** How far the clocks of an engine and of this process may differ. */
const CLOCK_TOLERANCE = 5 * SECOND;
/** How much longer than asked for a wait may be: an engine may count in seconds. */
const COARSE = 1 * SECOND;
const LARGE = 200_000;

const failed = (error: Error, retry: boolean): WorkResult => ({ kind: 'failed', error, retry });

function codedError(message: string): Error {
  return Object.assign(new RangeError(message), { code: 'E_CONFORMANCE' });
}

/** Fails every attempt, and compares what each is told, and how long the next takes to come, with `waits`. */
async function failsAndWaits(rig: Rig, retry: Partial<EngineRetry>, waits: readonly number[]): Promise<void> {
  await rig.work(() => failed(new Error('again'), true));
  const id = await rig.stageOne({ holdMs: 0, retry: { ...retry, attempts: waits.length + 1 } });
  for (const [index, wait] of waits.entries()) {
    const attempt = index + 1;
    await rig.untilStarted(attempt);
    const { at, context } = rig.starts[index] as Start;
    const told = context.retryInMs ?? Number.NaN;
    assert.ok(
      told >= MOST_OF * wait && told <= wait + COARSE,
      `attempt ${attempt} was told ${told} ms of a wait of ${wait} ms`,
    );
    await rig.untilStarted(attempt + 1);
    const waited = (rig.starts[attempt] as Start).at - at;
    assert.ok(waited >= MOST_OF * wait, `attempt ${attempt + 1} came after ${waited} ms of a wait of ${wait} ms`);
  }
  await rig.untilState([id], 'failed');
}

export const outcomes: Cases = {
  'a task that fails is tried again, and is told which attempt it is': async (rig) => {
    await rig.work(({ context }) =>
      context.attempt < 3 ? failed(new Error('not yet'), true) : { kind: 'completed', value: 'at last' },
    );
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 5, delay: 1 } });
    const found = await rig.untilState([id], 'completed');
    assert.equal(found.attempts, 3);
    assert.equal(found.value, 'at last');
    isSame(
      rig.starts.map(({ context }) => context.attempt),
      [1, 2, 3],
    );
    await rig.drain();
    assert.equal(rig.startsOf(id), 3);
  },

  'an attempt is told whether another follows if it fails, and after how long': async (rig) => {
    await rig.work(() => failed(new Error('again'), true));
    const often = await rig.stageOne({ holdMs: 0, retry: { attempts: 3, delay: 1 } });
    await rig.untilState([often], 'failed');
    const once = await rig.stageOne({ holdMs: 0, retry: { attempts: 1, delay: 1 } });
    await rig.untilState([once], 'failed');
    isSame(
      rig.starts.map(({ context }) => typeof context.retryInMs),
      ['number', 'number', 'undefined', 'undefined'],
    );
    const late = await rig.stageOne({ holdMs: 0, retry: { attempts: 2, delay: 60 * SECOND } });
    await rig.untilState([late], 'retrying');
    const [told = 0, toldLate = 0] = [rig.starts[0], rig.starts.at(-1)].map((start) => start?.context.retryInMs);
    assert.ok(
      told >= 0 && told < toldLate,
      `told ${told} ms of a delay of 1 ms, and ${toldLate} ms of one of a minute`,
    );
  },

  'a retry does not start before most of its wait is over, and the waits grow': async (rig) => {
    await failsAndWaits(rig, { delay: 250, factor: 2 }, [250, 500]);
  },

  'no wait for a retry is longer than maxDelay': async (rig) => {
    await failsAndWaits(rig, { delay: 200, factor: 1_000, maxDelay: 300 }, [200, 300]);
  },

  'a task that was held is tried again as well': async (rig) => {
    await rig.work(({ context }) => (context.attempt === 1 ? failed(new Error('not yet'), true) : COMPLETED));
    const id = await rig.stageOne({ retry: { attempts: 2, delay: 1 } });
    await rig.releaseOne(id);
    assert.equal((await rig.untilState([id], 'completed')).attempts, 2);
    assert.equal(rig.startsOf(id), 2);
  },

  'after its last attempt a task stays as failed, with its error': async (rig) => {
    await rig.work(({ context }) => failed(codedError(`attempt ${context.attempt}`), true));
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 2, delay: 1 } });
    const { name, attempts, error, value } = await rig.untilState([id], 'failed');
    assert.equal(name, 'conformance.task');
    assert.equal(attempts, 2);
    assert.equal(value, undefined);
    assert.equal(error?.name, 'RangeError');
    assert.equal(error?.message, 'attempt 2');
    assert.equal(error?.code, 'E_CONFORMANCE');
    await rig.drain();
    assert.equal(rig.startsOf(id), 2);
    assert.equal(await rig.state(id), 'failed');
  },

  'a task that need not be tried again is not': async (rig) => {
    await rig.work(() => failed(codedError('never'), false));
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 5, delay: 1 } });
    const { attempts, error } = await rig.untilState([id], 'failed');
    assert.equal(attempts, 1);
    isSame([error?.name, error?.message, error?.code], ['RangeError', 'never', 'E_CONFORMANCE']);
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'between two attempts a task is retrying, with the error of the last': async (rig) => {
    await rig.work(() => failed(codedError('wait'), true));
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 2, delay: 60 * SECOND } });
    const { attempts, error } = await rig.untilState([id], 'retrying');
    assert.equal(attempts, 1);
    isSame([error?.name, error?.message, error?.code], ['RangeError', 'wait', 'E_CONFORMANCE']);
    isSame(await rig.engine.discard([id]), ['too-late']);
    assert.equal(await rig.state(id), 'retrying');
  },

  'a failure is kept as one whatever its error contains': async (rig) => {
    const error = Object.assign(new Error('a \u0000 and half of a \ud83d pair'), { big: 1n, self: {} as unknown });
    error.self = error;
    await rig.work(() => failed(error, false));
    const id = await rig.stageOne({ holdMs: 0 });
    const found = await rig.untilState([id], 'failed');
    assert.match(found.error?.message ?? '', /^a .* and half of a .* pair$/);
  },

  'a postponed task comes back, and no attempt is counted': async (rig) => {
    await rig.work(() => (rig.starts.length <= 2 ? { kind: 'postponed', delayMs: 5 } : COMPLETED));
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 1 } });
    const found = await rig.untilState([id], 'completed');
    assert.equal(found.attempts, 1);
    isSame(
      rig.starts.map(({ context }) => context.attempt),
      [1, 1, 1],
    );
    await rig.drain();
    assert.equal(rig.starts.length, 3);
  },

  'a task is postponed between attempts as well': async (rig) => {
    const results = [failed(new Error('once'), true), { kind: 'postponed', delayMs: 5 } as const, COMPLETED];
    await rig.work(() => results[rig.starts.length - 1] as WorkResult);
    const id = await rig.stageOne({ holdMs: 0, retry: { attempts: 2, delay: 1 } });
    assert.equal((await rig.untilState([id], 'completed')).attempts, 2);
    isSame(
      rig.starts.map(({ context }) => context.attempt),
      [1, 2, 2],
    );
  },

  'a postponed task waits for a worker that takes it': async (rig) => {
    const first = await rig.work(() => ({ kind: 'postponed', delayMs: 50 }));
    const id = await rig.stageOne({ holdMs: 0 });
    await rig.untilStarted(1);
    await first.stop();
    const state = await rig.state(id);
    assert.ok(state === 'waiting' || state === 'retrying', `a postponed task is ${state}`);
    isSame(await rig.engine.discard([id]), ['too-late']);
    await rig.work(undefined, { engine: await rig.second() });
    await rig.untilState([id], 'completed');
    assert.equal(rig.starts.at(-1)?.worker, 2);
  },

  'what a task returned is found as it was': async (rig) => {
    const values: unknown[] = [
      { sum: 3, parts: [true, null, { deep: 'ünïcödé 🎉' }] },
      'text',
      0,
      false,
      [],
      undefined,
    ];
    await rig.work(({ envelope }) => ({ kind: 'completed', value: values[envelope.args[0] as number] }));
    const ids = await rig.stage(values.map((_, index) => rig.task({ holdMs: 0, envelope: { args: [index] } })));
    await rig.untilState(ids, 'completed');
    for (const [index, id] of ids.entries()) {
      const found = await rig.engine.find(id);
      isSame(found?.value, values[index]);
      assert.equal(found?.error, undefined);
    }
  },

  'a task completes whatever text it returned': async (rig) => {
    const value = 'a \u0000 and half of a \ud83d pair';
    await rig.work(() => ({ kind: 'completed', value }));
    const id = await rig.stageOne({ holdMs: 0 });
    await rig.untilState([id], 'completed');
    await rig.drain();
    assert.equal(rig.startsOf(id), 1);
  },

  'what is not there is not found': async (rig) => {
    await rig.stageOne();
    // Ids may come from requests: find() must stand anything.
    for (const id of [
      randomUUID(),
      '',
      '0',
      'meta',
      'wait',
      'no such task',
      "'; --",
      'a:b',
      '\u0000',
      'x'.repeat(10_000),
    ]) {
      assert.equal(await rig.engine.find(id), undefined, `find(${JSON.stringify(id.slice(0, 40))})`);
    }
  },

  'a task is found held, waiting, running and completed': async (rig) => {
    const gate = rig.gate();
    const id = await rig.stageOne();
    const found = async (): Promise<unknown> => {
      const { state, attempts, ...rest } = (await rig.engine.find(id)) ?? {};
      isSame(rest, { id, name: 'conformance.task' });
      return [state, attempts];
    };
    isSame(await found(), ['held', 0]);
    await rig.releaseOne(id);
    isSame(await found(), ['waiting', 0]);
    await rig.work(async () => {
      await gate.opened;
      return COMPLETED;
    });
    await rig.untilStarted(1);
    isSame(await found(), ['running', 1]);
    gate.open();
    await rig.untilState([id], 'completed');
    isSame(await found(), ['completed', 1]);
  },

  'the stats count tasks by their state': async (rig) => {
    await rig.untilStats({ held: 0, waiting: 0, running: 0, failed: 0 });
    const gate = rig.gate();
    await rig.work(async ({ envelope }) => {
      if (envelope.args[0] === 'fail') return failed(new Error('as asked'), false);
      await gate.opened;
      return COMPLETED;
    });
    await rig.stage([...rig.tasks(2, { holdMs: 0, envelope: { args: ['fail'] } }), ...rig.tasks(4, { holdMs: 0 })]);
    await rig.stage(rig.tasks(5));
    await rig.untilStarted(3);
    await rig.untilStats({ held: 5, waiting: 3, running: 1, failed: 2 });
    gate.open();
    await rig.untilStats({ held: 5, waiting: 0, running: 0, failed: 2 });
  },

  'everything in an envelope arrives as it was sent': async (rig) => {
    const args = [
      'ünïcödé 🎉 \u2028 "quoted" \\u0000 \\',
      'a \u0000 and half of a \ud83d pair',
      { 'a key \u0000': { nested: [[[{ deep: null }]]] }, '': true, 'a:b.c$d': [] },
      [0, -1.5, 1e-7, 1e21, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, 0.1 + 0.2],
      null,
      {},
      'x'.repeat(LARGE),
      Array.from({ length: 2_000 }, (_, index) => ({ index, text: `entry ${index}` })),
    ];
    const envelope = {
      task: 'mail.sendInvoice',
      args,
      context: { requestId: 'r-1', tags: ['ä\u0000'] },
      timeout: 12_345,
    };
    const task = rig.task({ envelope });
    await rig.work();
    await rig.stage([task]);
    await rig.releaseOne(task.envelope.id);
    await rig.untilState([task.envelope.id], 'completed');
    isSame(rig.starts[0]?.envelope, task.envelope);
  },

  'no attempt sees what another did to the arguments': async (rig) => {
    await rig.work(({ envelope, context }) => {
      (envelope.args[0] as string[]).push('mine');
      return context.attempt === 1 ? failed(new Error('not yet'), true) : { kind: 'completed', value: envelope.args };
    });
    const id = await rig.stageOne({ holdMs: 0, envelope: { args: [['sent']] }, retry: { attempts: 2, delay: 1 } });
    isSame((await rig.untilState([id], 'completed')).value, [['sent', 'mine']]);
  },

  'a task is told when it was staged, whichever attempt it is': async (rig) => {
    await rig.work(({ context }) => (context.attempt === 1 ? failed(new Error('not yet'), true) : COMPLETED));
    const since = Date.now();
    const id = await rig.stageOne({ retry: { attempts: 2, delay: 1 } });
    const until = Date.now();
    await rig.releaseOne(id);
    await rig.untilState([id], 'completed');
    const [first, second] = rig.starts.map(({ context }) => context.stagedAt);
    const stagedAt = first ?? Number.NaN;
    assert.ok(stagedAt >= since - CLOCK_TOLERANCE && stagedAt <= until + CLOCK_TOLERANCE, `staged at ${stagedAt}`);
    assert.equal(second, first);
    assert.ok(rig.starts.every(({ context }) => !context.signal.aborted));
  },
};
