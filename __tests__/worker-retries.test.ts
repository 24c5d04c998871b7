/** What a worker reports of an attempt that its engine makes again, and what it answers where there is none, or none of its own. */
import { describe, expect, it } from '@jest/globals';
import { localTasks } from './support/durable-app.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { handingTo } from './support/worker-envelopes.ts';
import { setting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('an attempt that the engine makes again', () => {
  const told = async (task: 'fail' | 'timeout', attempts: number) => {
    const { web, work, log, until: untilState } = setting();
    const events: unknown[] = [];
    const errors: unknown[] = [];
    const worker = await work({ onError: (error, outcome) => errors.push([error.message, outcome.attempts]) });
    worker.on('started', ({ attempt }) => events.push(['started', attempt]));
    worker.on('retrying', ({ attempt, delayMs, error }) => events.push(['retrying', attempt, delayMs, error.message]));
    worker.on('settled', (outcome) => events.push([outcome.state, outcome.attempts, outcome.error?.message]));
    const policy = { timeout: task === 'timeout' ? 20 : 30_000, retry: { attempts, delay: 1, jitter: 0, factor: 1 } };
    const list = web.with(policy);
    const handle = task === 'fail' ? list.add(localTasks.fail, 'no', 'EAGAIN') : list.add(localTasks.untilAborted);
    const found = await untilState(handle, 'failed');
    expect(found.attempts).toBe(attempts);
    await worker.idle();
    // On a busy machine it may also be logged that a module takes long to load.
    const lines = log.lines.filter((line) => line.task === handle.name);
    return { events, errors, lines: lines.map(({ level, message }) => [level, message]) };
  };

  it('is reported as an attempt, and only the last as failed', async () => {
    expect(await told('fail', 3)).toEqual({
      events: [
        ['started', 1],
        ['retrying', 1, 1, 'no'],
        ['started', 2],
        ['retrying', 2, 1, 'no'],
        ['started', 3],
        ['failed', 3, 'no'],
      ],
      errors: [['no', 3]],
      lines: [
        ['warn', 'Task local.fail failed, and is tried again in 1 ms: no'],
        ['warn', 'Task local.fail failed, and is tried again in 1 ms: no'],
        ['error', 'Task local.fail failed: no'],
      ],
    });
  });

  it('may be one that ran for too long', async () => {
    const message = 'Task local.untilAborted ran longer than its timeout of 20 ms.';
    expect(await told('timeout', 2)).toEqual({
      events: [
        ['started', 1],
        ['retrying', 1, 1, message],
        ['started', 2],
        ['timed-out', 2, message],
      ],
      errors: [[message, 2]],
      lines: [
        ['warn', `Task local.untilAborted failed, and is tried again in 1 ms: ${message}`],
        ['error', message],
      ],
    });
  });
});

describe('an attempt of which the engine learns that another worker has it', () => {
  it('is cancelled, and is not to be made again for that', async () => {
    const hand = await handingTo({});
    const taken = new AbortController();
    const answer = hand({ task: 'local.untilAborted' }, { signal: taken.signal, retryInMs: 1 });
    taken.abort(new Error('another worker has it'));
    expect(await answer).toMatchObject({
      kind: 'failed',
      retry: false,
      error: { code: 'ERR_BACKGROUND_CANCELLED', message: expect.stringContaining('another worker has it') },
    });
  });
});

describe('a worker that has as many tasks as `maxBacklog` says', () => {
  it('puts others back for a second each, and takes them when it has room', async () => {
    const hand = await handingTo({ maxBacklog: 1 });
    const taken = new AbortController();
    const first = hand({ task: 'local.untilAborted' }, { signal: taken.signal });
    expect(await hand({})).toEqual({ kind: 'postponed', delayMs: 1_000 });
    taken.abort();
    await first;
    expect(await hand({})).toMatchObject({ kind: 'completed' });
  });
});
