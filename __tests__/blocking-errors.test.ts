/** What blocking tasks throw, while they run and after, and how their threads and processes die of them. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { type BackgroundTasks, blocking, type Outcome } from 'express-background-tasks';
import { fixture } from './support/fixtures.ts';
import { makeWorkerGate, makeWorkerGates, type WorkerGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { shareBackground } from './support/shared-background.ts';
import { processes, threads, type WorkerKind, workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

interface Errors {
  storage(): void;
  aggregate(): void;
  flaky(): void;
  nul(): void;
  undef(): void;
  plain(): void;
  pollution(): void;
  unclonableProperty(): void;
  byName(name: string): void;
}

describe.each(workerKinds)('in $plural:', (kind) => {
  const { executor, tasks } = kind;
  const log = openLogBook();
  const shared = shareBackground({ ...kind.options(1), logger: log.logger });
  beforeEach(() => log.clear());

  const errorLines = () => log.lines.filter(({ level }) => level === 'error');

  describe('an error that a task throws', () => {
    const errors = kind.refer<Errors>('thread-errors.mjs');

    it('keeps its name, message, stack, code, causes and own properties', async () => {
      const { state, error } = await shared().add(errors.storage).settled;
      expect(state).toBe('failed');
      expect(error).toBeInstanceOf(Error);
      const cause = { name: 'TypeError', cause: { message: 'connection refused', code: 'ECONNREFUSED', port: 9000 } };
      const details = { bucket: 'images', keys: ['a', 'b'] };
      expect(error).toMatchObject({
        name: 'StorageError',
        message: 'upload failed',
        code: 'ETIMEDOUT',
        details,
        cause,
      });
      expect(error).toHaveProperty('attempts', 3);
      expect(error?.stack).toContain('thread-errors.mjs');
      expect(error?.cause).toBeInstanceOf(TypeError);
    });

    it('stays an instance of its class', async () => {
      expect((await shared().add(errors.byName, 'RangeError').settled).error).toBeInstanceOf(RangeError);
      const { error } = await shared().add(errors.aggregate).settled;
      expect(error).toBeInstanceOf(AggregateError);
      expect((error as AggregateError).errors).toHaveLength(3);
    });

    it('is what `retryIf` is given', async () => {
      const retryIf = ({ code }: { code?: unknown }): boolean => code === 'ETIMEDOUT';
      const outcome = await shared()
        .with({ retry: { attempts: 10, delay: 0, retryIf } })
        .add(errors.flaky).settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 3, error: { code: 'EACCES', message: 'attempt 3' } });
    });

    it.each(['nul', 'undef', 'plain', 'pollution', 'unclonableProperty'] as const)(
      `fails its task, whatever it is, and the ${executor} lives: %s`,
      async (name) => {
        const background = shared();
        const before = await kind.placeOf(background);
        const { state, error } = await background.add(errors[name]).settled;
        expect(state).toBe('failed');
        expect(error).toBeInstanceOf(Error);
        expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
        expect(await kind.placeOf(background)).toEqual(before);
      },
    );
  });

  describe('what a task throws outside its promise', () => {
    it.each<['leaveThrowingTimer' | 'leaveRejection' | 'leaveLateRejection', string]>([
      ['leaveThrowingTimer', 'a late timer'],
      ['leaveRejection', 'a floating rejection'],
      ['leaveLateRejection', 'a late rejection'],
    ])('is logged under its own name, and the task that is running then completes: %s', async (name, message) => {
      const background = shared();
      const before = await kind.placeOf(background);
      const guilty = background.with({ name: 'guilty' }).add(tasks[name], 10);
      const innocent = background.with({ name: 'innocent' }).add(tasks.returnMapAfter, 40, 'fine');

      expect(await guilty.settled).toMatchObject({ state: 'completed', value: 'done' });
      expect(await innocent.settled).toMatchObject({ state: 'completed', value: new Map([['value', 'fine']]) });
      const [line] = await log.until('ERR_BACKGROUND_STRAY');
      expect(line).toMatchObject({ level: 'error', task: 'guilty', cause: message });
      expect(log.withCode('ERR_BACKGROUND_STRAY')).toHaveLength(1);
      expect(errorLines()).toHaveLength(1);
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it('is logged also when no task runs', async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      await background.add(tasks.leaveThrowingTimer, 20).settled;
      const [line] = await log.until('ERR_BACKGROUND_STRAY');
      expect(line).toMatchObject({ task: 'leaveThrowingTimer', cause: 'a late timer' });
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it('fails the task itself while it still runs', async () => {
      const background = shared();
      const before = await kind.placeOf(background);
      const { state, error } = await background.add(tasks.throwInOwnTimer).settled;
      expect(state).toBe('failed');
      expect(error).toBeInstanceOf(RangeError);
      expect(error?.message).toBe('thrown by a timer of its own');
      expect(log.withCode('ERR_BACKGROUND_STRAY')).toHaveLength(0);
      expect(await kind.placeOf(background)).toEqual(before);
    });

    it('never gives a value of the failed task to another task', async () => {
      const background = shared();
      const [late, held] = (await makeWorkerGates(2)) as [WorkerGate, WorkerGate];
      const failed = background.add(tasks.failThenReturn, 'of the task that failed', late.port);
      await late.entered();
      expect(await failed.settled).toMatchObject({ state: 'failed', error: { message: 'failed before it returned' } });
      const next = background.add(tasks.hold, held.port);
      const pid = await held.entered();
      // The failed task returns all the same, while the next one runs.
      late.open();
      await late.left();
      held.open();
      expect(await next.settled).toMatchObject({ state: 'completed', value: pid });
      const afterNext = await background.add(tasks.returnMapAfter, 0, 'of the one after').settled;
      expect(afterNext.value?.get('value')).toBe('of the one after');
    });
  });

  describe(`the death of the only ${executor}`, () => {
    it('right after its task has returned leaves the result as it is', async () => {
      const background = shared();
      const place = async (): Promise<string> => JSON.stringify((await background.add(tasks.whereAmI).settled).value);
      const before = await place();
      const outcome = await background.add(tasks.returnAndExit, 9).settled;
      expect(outcome).toMatchObject({ state: 'completed', value: 'returned' });
      // Until it has ended, tasks may still run there; the one that runs when it ends fails.
      let now = before;
      while (now === before || now === undefined) now = await place();
      expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
    });

    it('does not fail a task that was still on its way there', async () => {
      const background = shared();
      const started: string[] = [];
      background.on('started', ({ id }) => started.push(id));
      const handles = [1, 2, 3, 4, 5, 6].map((code) => background.add(tasks.returnAndExit, code));
      for (const { settled } of handles) {
        expect(await settled).toMatchObject({ state: 'completed', value: 'returned', attempts: 1 });
      }
      expect(started).toEqual(handles.map(({ id }) => id));
    });

    it('does not stop waiting tasks', async () => {
      const background = shared();
      const dying = background.add(tasks.exitWith, 1);
      const waiting = [1, 2, 3].map((number) => background.add(tasks.echo, number));
      expect((await dying.settled).state).toBe('failed');
      for (const [index, { settled }] of waiting.entries()) {
        expect(await settled).toMatchObject({ state: 'completed', value: index + 1 });
      }
    });
  });
});

interface Death {
  readonly how: string;
  readonly die: (background: BackgroundTasks) => Promise<Outcome>;
  /** What its error says, and a word of its message. */
  readonly error: object;
  readonly word: string;
}

const { abort, kill } = blocking<typeof import('./fixtures/process-tasks.mjs')>(fixture('process-tasks.mjs'), {
  executor: 'process',
});

function exiting(kind: WorkerKind, exitCode: number): Death {
  return {
    how: `process.exit(${exitCode})`,
    die: (background) => background.add(kind.tasks.exitWith, exitCode).settled,
    error: { code: kind.exited, exitCode },
    word: String(exitCode),
  };
}

function killed(signal: NodeJS.Signals, how: string, die: Death['die']): Death {
  return { how, die, error: { code: processes.exited, exitCode: null, signal }, word: signal };
}

const fillHeap =
  ({ tasks }: WorkerKind): Death['die'] =>
  (background) =>
    background.add(tasks.fillHeap).settled;

async function killFromOutside(background: BackgroundTasks): Promise<Outcome> {
  const gate = await makeWorkerGate();
  const handle = background.add(processes.tasks.loopForEver, gate.port);
  process.kill(await gate.entered(), 'SIGKILL');
  return handle.settled;
}

const deaths: Record<WorkerKind['executor'], readonly Death[]> = {
  thread: [
    exiting(threads, 3),
    exiting(threads, 0),
    { how: 'out of memory', die: fillHeap(threads), error: { code: 'ERR_BACKGROUND_OUT_OF_MEMORY' }, word: 'memory' },
  ],
  process: [
    exiting(processes, 3),
    exiting(processes, 0),
    killed('SIGABRT', 'process.abort()', (background) => background.add(abort).settled),
    killed('SIGSEGV', 'SIGSEGV', (background) => background.add(kill, 'SIGSEGV').settled),
    killed('SIGKILL', 'SIGKILL from outside', killFromOutside),
    killed('SIGABRT', 'out of memory', fillHeap(processes)),
  ],
};

describe.each(workerKinds)('a $executor that dies', (kind) => {
  const { executor, tasks } = kind;
  const two = shareBackground(kind.options(2, { resourceLimits: { maxOldGenerationSizeMb: 24 } }));

  it.each(deaths[executor])('fails only the task that it ran, says how, and is replaced: $how', async (death) => {
    const background = two();
    const gate = await makeWorkerGate();
    const beside = background.add(tasks.hold, gate.port);
    await gate.entered();
    const dying = death.die(background);
    const behind = background.add(tasks.add, 1, 1);

    const outcome = await dying;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 1, executor, error: death.error });
    expect(outcome.error?.message).toContain(death.word);
    // The other one is occupied: the waiting tasks can only run in the replacement of the dead one.
    expect(await behind.settled).toMatchObject({ state: 'completed', value: 2 });
    expect(kind.counts(background).workers).toBe(2);
    gate.open();
    expect(await beside.settled).toMatchObject({ state: 'completed' });
    expect(background.stats()).toMatchObject({ running: 0, waiting: 0, retrying: 0 });
  });

  it('again and again does not stop waiting tasks, and the pool keeps its size', async () => {
    const background = two();
    const dying = [1, 2, 3, 4].map((code) => background.add(tasks.exitWith, code));
    const waiting = [1, 2, 3].map((number) => background.add(tasks.echo, number));
    for (const [index, { settled }] of dying.entries()) {
      expect((await settled).error).toMatchObject({ exitCode: index + 1 });
    }
    for (const [index, { settled }] of waiting.entries()) {
      expect(await settled).toMatchObject({ state: 'completed', value: index + 1 });
    }
    const gates = await makeWorkerGates(2);
    for (const { port } of gates) background.add(tasks.hold, port);
    for (const gate of gates) await gate.entered();
    expect(kind.counts(background)).toMatchObject({ workers: 2, running: 2 });
    for (const gate of gates) gate.open();
  });
});
