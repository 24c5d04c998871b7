/** Time limits, cancelling and retries of blocking tasks: what stops a task, and what that does to its thread or process. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { BackgroundTaskError } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { makeWorkerGate } from './support/gates.ts';
import { codeOf } from './support/outcomes.ts';
import { makePipe } from './support/pipes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { shareBackground } from './support/shared-background.ts';
import { blockFor, untilTimersComeNext } from './support/time.ts';
import { workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

const never = (): Promise<never> => new Promise(() => {});

/** A file that a task may write; it goes with the test. */
function pathOf(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'background-tasks-limits-'));
  atEnd(() => rmSync(directory, { recursive: true }));
  return join(directory, name);
}

describe.each(workerKinds)('in $plural:', (kind) => {
  const { executor, tasks, aware } = kind;
  const shared = shareBackground(kind.options(1));

  describe('a timeout', () => {
    it(`ends an endless loop, harms no task in the other ${executor}, and the pool goes on`, async () => {
      const background = kind.open(2);
      const gate = await makeWorkerGate();
      const beside = background.add(tasks.hold, gate.port);
      const besidePid = await gate.entered();
      const { value: place } = await background.add(tasks.whereAmI).settled;
      const outcome = await background.with({ timeout: 50 }).add(tasks.loopForEver).settled;
      expect(outcome).toMatchObject({ state: 'timed-out', attempts: 1, name: 'loopForEver' });
      expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
      expect(kind.isGone(place?.pid as number)).toBe(true);
      expect(beside.state).toBe('running');
      // The other one is occupied: only a new one can do this.
      expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
      gate.open();
      expect(await beside.settled).toMatchObject({ state: 'completed', value: besidePid });
    });

    it.each(['returnAtSignal', 'throwAtSignal', 'throwReasonAtSignal'] as const)(
      `aborts the signal first: a task that heeds it keeps its ${executor}: %s`,
      async (name) => {
        const background = shared();
        await background.add(aware.describeTask).settled; // So that the time does not include loading the module.
        const before = await kind.placeOf(background);
        const gate = await makeWorkerGate();
        const outcome = await background.with({ timeout: 80 }).add(aware[name], gate.port).settled;
        expect(outcome.state).toBe('timed-out');
        expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
        expect(await gate.left()).toBe('heard ERR_BACKGROUND_TIMEOUT\n');
        expect(await kind.placeOf(background)).toEqual(before);
      },
    );

    it('starts with the attempt: the time that a task waits does not count', async () => {
      const background = shared();
      const gate = await makeWorkerGate();
      background.add(tasks.hold, gate.port);
      await gate.entered();
      const limited = background.with({ timeout: 200 });
      const patient = [1, 2, 3].map((value) => limited.add(tasks.echo, value));
      // It starts at once: when its time is over, that of those before it would be, too.
      expect((await limited.add(never).settled).state).toBe('timed-out');
      expect(patient.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting']);
      gate.open();
      for (const [index, { settled }] of patient.entries()) {
        expect(await settled).toMatchObject({ state: 'completed', value: index + 1 });
      }
    });

    it('does not count the time for which the event loop was blocked when the task had ended', async () => {
      const background = shared();
      const path = pathOf('written');
      await background.add(tasks.nothing).settled;
      await untilTimersComeNext();
      const timeout = 50;
      const handle = background.with({ timeout }).add(tasks.writeFile, path);
      while (!existsSync(path));
      blockFor(2 * timeout);
      expect(await handle.settled).toMatchObject({ state: 'completed' });
    });

    it(`ends a module that never finishes loading, and leaves a warm ${executor} in its place`, async () => {
      const hanging = kind.refer<{ work(): void }>('module-hangs.mjs');
      const background = shared();
      expect((await background.with({ timeout: 50 }).add(hanging.work).settled).state).toBe('timed-out');
      await kind.untilWorkers(background, 1);
      expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
    });

    it('settles a task during a call of native code, in which a thread cannot be ended', async () => {
      const background = kind.open(1);
      const pipe = makePipe();
      const outcome = await background.with({ timeout: 50 }).add(tasks.readFile, pipe.path).settled;
      expect(outcome).toMatchObject({ state: 'timed-out', attempts: 1 });
      pipe.release();
      expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    });

    it(`lets the next attempt start in a new ${executor}`, async () => {
      const background = shared();
      const retried: unknown[] = [];
      background.on('retrying', ({ error }) => retried.push((error as BackgroundTaskError).code));
      const adder = background.with({ timeout: 50, retry: { attempts: 2, delay: 0 } });
      expect(await adder.add(tasks.loopForEver).settled).toMatchObject({ state: 'timed-out', attempts: 2 });
      expect(retried).toEqual(['ERR_BACKGROUND_TIMEOUT']);
    });
  });

  describe('a cancel', () => {
    it(`that is heeded while the event loop is blocked leaves the ${executor} alive`, async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      const gate = await makeWorkerGate();
      const handle = background.add(aware.returnAtSignal, gate.port);
      await gate.entered();
      await untilTimersComeNext();
      handle.cancel();
      // Longer than a worker has to heed its signal.
      blockFor(400);
      expect((await handle.settled).state).toBe('cancelled');
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it.each(['returnAtSignal', 'throwAtSignal', 'throwReasonAtSignal'] as const)(
      `aborts the signal, becomes the outcome with its reason, and the ${executor} lives: %s`,
      async (name) => {
        const background = shared();
        const before = await kind.placeOf(background);
        const gate = await makeWorkerGate();
        const handle = background.add(aware[name], gate.port);
        await gate.entered();
        const reason = new Error('the user left');
        expect(handle.cancel(reason)).toBe(true);

        const outcome = await handle.settled;
        expect(outcome).toMatchObject({ state: 'cancelled', attempts: 1 });
        expect(codeOf(outcome)).toBe('ERR_BACKGROUND_CANCELLED');
        expect(outcome.error?.cause).toBe(reason);
        expect(await gate.left()).toBe('heard ERR_BACKGROUND_CANCELLED\n');
        expect(handle.cancel()).toBe(false);
        expect(await kind.placeOf(background)).toEqual(before);
      },
    );

    it('takes effect right after the start', async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      background.on('started', ({ id, name }) => {
        if (name === 'cancelled at its start') (background.find(id) as typeof handle).cancel();
      });
      const handle = background.with({ name: 'cancelled at its start' }).add(aware.returnAtSignal);
      expect((await handle.settled).state).toBe('cancelled');
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it(`ends the ${executor} of a task that does not heed it`, async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      const gate = await makeWorkerGate();
      const handle = background.add(tasks.loopForEver, gate.port);
      const pid = await gate.entered();
      handle.cancel();
      expect((await handle.settled).state).toBe('cancelled');
      expect(kind.isGone(pid)).toBe(true);
      expect(await kind.placeOf(background)).not.toEqual(before);
    });

    it(`takes a waiting task out of the queue without touching the ${executor}`, async () => {
      const background = shared();
      const gate = await makeWorkerGate();
      const running = background.add(tasks.hold, gate.port);
      await gate.entered();
      const waiting = background.add(tasks.add, 1, 1);
      const last = background.add(tasks.add, 2, 2);
      waiting.cancel('not needed');

      const outcome = await waiting.settled;
      expect(outcome).toMatchObject({ state: 'cancelled', attempts: 0, ranMs: 0 });
      expect(outcome.error?.message).toContain('not needed');
      expect(running.state).toBe('running');
      gate.open();
      expect((await last.settled).value).toBe(4);
      expect((await running.settled).state).toBe('completed');
    });

    it(`works on a task whose ${executor} is only just starting`, async () => {
      const background = kind.open(1);
      const handle = background.add(tasks.add, 1, 1);
      handle.cancel();
      expect(await handle.settled).toMatchObject({ state: 'cancelled', attempts: 0 });
      expect((await background.add(tasks.add, 2, 2).settled).value).toBe(4);
    });

    it('while the module is loaded, keeps the function from being called', async () => {
      const gate = await makeWorkerGate();
      const background = kind.open(1, { env: { ...process.env, LOADING_GATE: String(gate.port) } });
      const slow = kind.refer<{ write(file: string): void }>('module-loads-until-aborted.mjs');
      const file = join(tmpdir(), `background-tasks-${process.pid}-${executor}`);
      const handle = background.add(slow.write, file);
      await gate.entered();
      handle.cancel();
      expect((await handle.settled).state).toBe('cancelled');
      await gate.left();
      await background.add(tasks.nothing).settled;
      expect(existsSync(file)).toBe(false);
    });

    it('the end of one attempt does not abort the next, even if the task ignored its signal', async () => {
      const background = shared();
      await background.add(aware.describeTask).settled; // So that the time does not include loading the module.
      const [released, answered] = [pathOf('released'), pathOf('answered')];
      const timeout = 500;
      const retry = { attempts: 2, delay: 120, jitter: 0 };
      const release = (): void => {
        background.off('started', release);
        // The limit's clock starts with the attempt, and so does this one.
        setTimeout(() => {
          writeFileSync(released, '');
          // Its answer comes before the time that it has to heed its signal is over, however slow the machine is.
          while (!existsSync(answered));
        }, timeout + 20);
      };
      background.on('started', release);
      const handle = background.with({ timeout, retry }).add(aware.deafAtFirst, released, answered);
      const outcome = await handle.settled;
      expect(outcome).toMatchObject({ state: 'completed', attempts: 2, value: { attempt: 2, isAborted: false } });
    });
  });

  describe('a retry', () => {
    const retry = { attempts: 3, delay: 0 };

    it(`follows an error, in the same ${executor}`, async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      const outcome = await background.with({ retry }).add(aware.failUntil, 3, new Uint8Array(1)).settled;
      expect(outcome).toMatchObject({ state: 'completed', attempts: 3, value: [0] });
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it(`follows the end of the ${executor}, in another`, async () => {
      const outcome = await shared().with({ retry }).add(aware.exitUntil, 2).settled;
      expect(outcome).toMatchObject({ state: 'completed', attempts: 2, value: 2 });
    });

    it(`gives up if every attempt ends its ${executor}`, async () => {
      const outcome = await shared()
        .with({ retry: { attempts: 2, delay: 0 } })
        .add(tasks.exitWith, 1).settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 2 });
    });
  });
});
