/** What is peculiar to tasks in threads: memory and ports that they share with the server. See also blocking*.test.ts. */
import nodeModule from 'node:module';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it, jest } from '@jest/globals';
import { move } from 'express-background-tasks';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { runScript } from './support/scripts.ts';
import { shareBackground } from './support/shared-background.ts';
import { makeThreadGate } from './support/thread-gate.ts';
import { threads } from './support/worker-kinds.ts';

jest.setTimeout(30_000);
expectNoProcessFaults();

const tasks = threads.refer<typeof import('./fixtures/thread-tasks.mjs')>('thread-tasks.mjs');

describe('tasks in threads', () => {
  const shared = shareBackground(threads.options(2));

  it('may be moved a MessagePort, and speak over it', async () => {
    const { port1, port2 } = new MessageChannel();
    const answered = new Promise((resolve) => port1.once('message', resolve));
    const handle = shared().add(tasks.answerOn, move(port2), 'over the port');
    expect((await handle.settled).state).toBe('completed');
    expect(await answered).toBe('over the port');
    port1.close();
  });

  it('may be given shared memory, and block their threads by it while all others go on', async () => {
    const background = shared();
    const gate = makeThreadGate();
    const blocked = background.add(tasks.hold, gate.shared);
    await gate.entered();
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    expect((await background.add(() => 'here').settled).value).toBe('here');
    expect(blocked.state).toBe('running');
    gate.open();
    expect(await blocked.settled).toMatchObject({ state: 'completed', value: expect.any(Number) });
  });

  it('may leave a timer behind, which fires while the thread is idle', async () => {
    const background = shared();
    const fired = makeThreadGate();
    await background.add(tasks.leaveSignallingTimer, fired.shared, 30).settled;
    await fired.entered();
    const { running, idle, workers } = threads.counts(background);
    expect({ running, idle }).toEqual({ running: 0, idle: workers });
  });

  it('run TypeScript by --import tsx where that reaches threads, and say so where it does not', async () => {
    const { width } = threads.refer<{ width(size: string): number }>('module-enums.ts');
    // Without it, `--import tsx` reaches only the main thread, whatever the threads are given.
    const isReached = typeof (nodeModule as { registerHooks?: unknown }).registerHooks === 'function';
    const background = threads.open(1, { execArgv: ['--import', 'tsx'] });
    const outcome = await background.add(width, 'Small').settled;
    if (isReached) expect(outcome).toMatchObject({ state: 'completed', value: 100 });
    else expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
  });
});

describe('a program', () => {
  it('is not kept alive by threads that were started and never used', async () => {
    const warm = JSON.stringify(threads.options(1, { min: 1, idleTimeout: 600_000 }));
    expect(await runScript('script-never-used.mjs', warm)).toBe('end of script\n');
  });
});
