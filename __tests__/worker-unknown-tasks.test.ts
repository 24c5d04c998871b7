/** Names that no worker knows: their tasks are put back for others, and kept as failed in the end. */
import { describe, expect, it } from '@jest/globals';
import { later } from './support/clock.ts';
import { until } from './support/durable-app.ts';
import { openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { handingTo, stage } from './support/worker-envelopes.ts';
import { setting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('a name that no worker knows', () => {
  it('is put back for others, and not tried: a module, an export, what every object has, a path, or of a later version', async () => {
    const { engine, work, log, until: untilState } = setting();
    const unknown = [
      ...['unheard.of', 'tasks.unheardOf', 'tasks.constructor', '../../etc/passwd'].map((task) => ({ task })),
      { task: 'tasks.echo', v: 2 },
    ];
    const all = await Promise.all(unknown.map((envelope) => stage(engine, envelope)));
    await work();
    await until(
      async () => log.withCode('ERR_BACKGROUND_UNKNOWN_TASK'),
      (lines) =>
        unknown.every(({ task }) => lines.some((line) => line.level === 'warn' && line.message.includes(`'${task}'`))),
    );
    // An operator looks for it by its name, as long as it looks like one.
    expect(new Set(log.withCode('ERR_BACKGROUND_UNKNOWN_TASK').map(({ task }) => task))).toEqual(
      new Set(['unheard.of', 'tasks.unheardOf', 'tasks.constructor', "'../../etc/passwd'", 'tasks.echo']),
    );
    for (const task of all) expect(await untilState(task, 'waiting')).toMatchObject({ attempts: 0 });
  });

  it.each([
    ['a second where it has just been added', 0, 1_000],
    ['a minute where it was added an hour ago', 3_600_000, 60_000],
  ])('is put back for %s', async (_when, age, delayMs) => {
    const hand = await handingTo({});
    const context = { stagedAt: Date.now() - age };
    expect(await hand({ task: 'unheard.of' }, context)).toEqual({ kind: 'postponed', delayMs });
  });

  it('is told from one that was added in the format of a later version', async () => {
    const { engine, work, log } = setting();
    await stage(engine, { task: 'tasks.echo', v: 2 });
    await work();
    const [line] = await log.until('ERR_BACKGROUND_UNKNOWN_TASK');
    expect(line?.message).toContain(
      "Task 'tasks.echo' was added by another version of express-background-tasks, in a format (2) that this worker does not read, and was put back for other workers.",
    );
  });

  it('has one line in the log, however many tasks have it', async () => {
    const { engine, work, log } = setting();
    for (let count = 0; count < 5; count += 1) await stage(engine, { task: 'unheard.of' });
    await stage(engine, { task: 'unheard.ofAtLast' });
    await work({ concurrency: 1 });
    const lines = await log.until('ERR_BACKGROUND_UNKNOWN_TASK', 2);
    expect(lines.map(({ task }) => task)).toEqual(['unheard.of', 'unheard.ofAtLast']);
  });

  it('shares one line a minute with all others of which there are too many: anybody who can write to the broker can make up new ones', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    const names = Array.from({ length: 1_100 }, (_, index) => `forged.name${index}`);
    for (const task of names) await hand({ task });
    const told = (): unknown[] => log.withCode('ERR_BACKGROUND_UNKNOWN_TASK').map(({ task }) => task);
    expect(told()).toEqual(names.slice(0, 1_001));
    later(60_000);
    for (const task of names.slice(1_090)) await hand({ task });
    expect(told()).toEqual([...names.slice(0, 1_001), ...names.slice(1_090)]);
  });

  it('has one line with those that look the same in the log', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    for (const end of ['a', 'b']) await hand({ task: `${'x'.repeat(500)}${end}` });
    expect(log.withCode('ERR_BACKGROUND_UNKNOWN_TASK')).toHaveLength(1);
  });

  it('is quoted and shortened in the log: anybody who can write to the broker can choose it', async () => {
    const { engine, work, log } = setting();
    await stage(engine, { task: `forged\n${'x'.repeat(10_000)}` });
    await work();
    const [line] = await log.until('ERR_BACKGROUND_UNKNOWN_TASK');
    for (const text of [line?.message, line?.task]) {
      expect(text).toMatch(/^(Task )?'forged\\nx+'\.\.\. 9907 more characters/);
      expect(text?.length).toBeLessThan(500);
    }
  });

  it.each([
    ['knows no time', Number.NaN],
    ['has a time far ahead', Date.now() + 1e12],
  ])('is kept as failed where the engine %s at which it was staged', async (_what, stagedAt) => {
    const hand = await handingTo({});
    expect(await hand({ task: 'unheard.of' }, { stagedAt })).toMatchObject({
      kind: 'failed',
      error: { code: 'ERR_BACKGROUND_UNKNOWN_TASK' },
      retry: false,
    });
  });

  it('is kept as failed when it has been unknown for too long', async () => {
    const { engine, work, until: untilState } = setting();
    const unknown = await stage(engine, { task: 'unheard.of' });
    await work({ unknownFor: 0 });
    expect(await untilState(unknown, 'failed')).toMatchObject({ error: { code: 'ERR_BACKGROUND_UNKNOWN_TASK' } });
  });
});
