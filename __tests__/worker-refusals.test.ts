/** Tasks that a worker refuses for good, and whom it tells. */
import { describe, expect, it } from '@jest/globals';
import type { Outcome, WorkerOptions } from 'express-background-tasks';
import { makeGate } from './support/gates.ts';
import { type LogBook, openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
// Has the parsers that refuse arguments.
import './support/registered-tasks.ts';
import { handingTo, stage } from './support/worker-envelopes.ts';
import { setting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('a task that fails for good without having been run', () => {
  it.each<[string, object, Partial<WorkerOptions>, string, string]>([
    [
      'its arguments do not pass',
      { task: 'checked.echo', args: ['one'] },
      {},
      'ERR_BACKGROUND_ARGUMENTS',
      'event-loop',
    ],
    ['no worker has known it', { task: 'unheard.of' }, { unknownFor: 0 }, 'ERR_BACKGROUND_UNKNOWN_TASK', 'engine'],
  ])('is an error in the log and for `onError`: %s', async (_why, envelope, options, code, executor) => {
    const { engine, work, log } = setting();
    const told = makeGate<[Error, Outcome]>();
    const { id } = await stage(engine, envelope);
    await work({ ...options, onError: (error, outcome) => told.open([error, outcome]) });
    const [error, outcome] = await told.opened;
    expect(error).toMatchObject({ code });
    expect(outcome).toMatchObject({ id, executor, state: 'failed', attempts: 0, ranMs: 0, error });
    expect(outcome.waitedMs).toBeGreaterThanOrEqual(0);
    expect(log.withCode(code)).toMatchObject([
      { level: 'error', message: `Task ${outcome.name} failed: ${error.message}` },
    ]);
  });

  it('says how often it had been started before, as by a worker that knew it', async () => {
    const [outcomes, lines]: [Outcome[], object[]] = [[], []];
    const logger = { ...openLogBook().logger, error: (_message: string, fields: object) => lines.push(fields) };
    const hand = await handingTo({ logger, onError: (_error, outcome) => outcomes.push(outcome) });
    await hand({ task: 'checked.echo', args: ['one'] }, { attempt: 3 });
    expect(outcomes).toMatchObject([{ attempts: 2 }]);
    expect(lines).toMatchObject([{ task: 'checked.echo', attempt: 3, ranMs: 0 }]);
  });

  it('has its own name for `onError`, whatever that is, and a quoted one in the log', async () => {
    const [names, log]: [string[], LogBook] = [[], openLogBook()];
    const onError: WorkerOptions['onError'] = (_error, { name }) => names.push(name);
    const hand = await handingTo({ unknownFor: 0, logger: log.logger, onError });
    await hand({ task: 'mail.größe' });
    expect(names).toEqual(['mail.größe']);
    expect(log.lines.map(({ task, message }) => [task, message.slice(0, 25)])).toEqual([
      ["'mail.größe'", "Task 'mail.größe' failed:"],
    ]);
  });

  it('is answered with also where the error by which `parse` refused it cannot be read any more', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    const refusal = { kind: 'failed', retry: false, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } };
    expect(await hand({ task: 'checked.spinForEver' })).toMatchObject(refusal);
    expect(log.lines.map(({ message }) => message)).toEqual([
      'Expected the error of task checked.spinForEver not to throw: read before',
    ]);
  });

  it('is answered with also where its own error cannot be read any more', async () => {
    const hand = await handingTo({});
    expect(await hand({ task: 'local.failReadableOnce' })).toMatchObject({
      kind: 'failed',
      error: { message: 'Expected the error of a task not to throw: read before' },
    });
  });
});
