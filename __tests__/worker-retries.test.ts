/** What a worker reports of an attempt that its engine makes again. */
import { describe, expect, it } from '@jest/globals';
import { localTasks } from './support/durable-app.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
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
