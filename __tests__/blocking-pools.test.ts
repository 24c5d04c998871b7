/** How many threads and processes there are, when they start, and when they end: in the same way for both. */
import childProcess, { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInThisContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it, jest } from '@jest/globals';
import { backgroundTasks } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { makeWorkerGate, makeWorkerGates } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { codeOf, thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { untilGone } from './support/process-ids.ts';
import { runScript, runScriptWith } from './support/scripts.ts';
import { shareBackground } from './support/shared-background.ts';
import { blockFor, untilHolds, untilTimersComeNext, work } from './support/time.ts';
import { processes, threads, type WorkerKind, type WorkerOptions, workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

// Jest hands tests a copy of `process` that no event reaches.
const realProcess = runInThisContext('process') as NodeJS.Process;

/** To read the package, and nothing else. */
const permissions = [
  process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
  ...['--allow-fs-read', fileURLToPath(new URL('../*', import.meta.url)), '--allow-worker', '--allow-child-process'],
];

const optionsOfSomeVersions: [what: string, nodeOptions: string[], read: string][] =
  process.allowedNodeEnvironmentFlags.has('--experimental-default-type')
    ? [['a kind of module, in two words,', ['--experimental-default-type', 'module'], 'a secret']]
    : [];

describe.each(workerKinds)('$plural', (kind) => {
  const { tasks } = kind;
  const two = shareBackground(kind.options(2, { min: 2 }));

  it('are not started before the first task for them', async () => {
    const background = kind.open(2);
    await background.add(() => 'on the event loop').settled;
    expect(kind.counts(background).workers).toBe(0);
    await background.add(tasks.nothing).settled;
    expect(kind.counts(background).workers).toBe(1);
  });

  it('are started at once if some are to be kept', async () => {
    const background = two();
    expect(kind.counts(background).workers).toBe(2);
    await background.add(tasks.nothing).settled;
    expect(kind.counts(background).workers).toBe(2);
  });

  it('are never more than the limit', async () => {
    const background = two();
    const handles = Array.from({ length: 10 }, () => background.add(tasks.whereAmI));
    expect(kind.counts(background).workers).toBe(2);
    const places = new Set<string>();
    for (const { settled } of handles) places.add(JSON.stringify((await settled).value));
    expect(places.size).toBeLessThanOrEqual(2);
    expect(kind.counts(background).workers).toBe(2);
  });

  it('run one task each at a time', async () => {
    const background = two();
    const gates = await makeWorkerGates(2);
    for (const { port } of gates) background.add(tasks.hold, port);
    background.add(tasks.nothing);
    for (const gate of gates) await gate.entered();
    expect(kind.counts(background)).toMatchObject({ running: 2, waiting: 1, workers: 2, idle: 0 });
    for (const gate of gates) gate.open();
    await background.idle();
    expect(kind.counts(background)).toMatchObject({ running: 0, waiting: 0, workers: 2, idle: 2 });
  });

  it('are not started for tasks that one which is free takes in the next turn of the event loop', async () => {
    const background = kind.open(4, { min: 2 });
    while (kind.counts(background).idle < 2) await background.add(work, 5).settled;
    await Promise.all([background.add(tasks.nothing).settled, background.add(tasks.nothing).settled]);
    // From within the reading of messages, one answer would be read in this turn, and the other in the next.
    await untilTimersComeNext();
    const directory = makeDirectory();
    const files = [join(directory, 'first'), join(directory, 'second')] as const;
    const [first, second] = [
      background.add(tasks.writeFileAfterwards, files[0]),
      background.add(tasks.writeFileAfterwards, files[1]),
    ];
    let heardFirst: string | undefined;
    background.on('settled', ({ id }) => {
      if (id !== first.id && id !== second.id) return;
      heardFirst ??= id;
      // What comes in the same turn of the loop is heard of, and what waits is given out in the next.
      if (id === heardFirst) blockFor(10);
      background.add(tasks.nothing);
    });
    background.add(tasks.nothing);
    expect(kind.counts(background).workers).toBe(3);
    // Nothing is heard of the answers until both have been sent.
    while (!files.every((file) => existsSync(file)));
    await Promise.all([first.settled, second.settled]);
    expect(kind.counts(background).workers).toBe(3);
    await background.idle();
  });

  it('end after `idleTimeout` without a task, and the next task gets a new one', async () => {
    const background = kind.open(2, { idleTimeout: 20 });
    const { value: before } = await background.add(tasks.whereAmI).settled;
    await Promise.all([background.add(tasks.nothing).settled, background.add(tasks.nothing).settled]);
    await kind.untilWorkers(background, 0);
    expect(await kind.placeOf(background)).not.toEqual(before);
    const pid = before?.pid as number;
    if (!kind.isGone(pid)) await untilGone(pid, 5_000);
  });

  it('are replaced up to the number to be kept, when several have died one after the other', async () => {
    const background = kind.open(2, { min: 2 });
    for (const code of [1, 2, 3, 4, 5]) await background.add(tasks.exitWith, code).settled;
    await kind.untilWorkers(background, 2);
  });

  it('are never fewer than the number to be kept, however long they are idle', async () => {
    const background = kind.open(2, { min: 1, idleTimeout: 20 });
    expect(kind.counts(background).workers).toBe(1);
    const gates = await makeWorkerGates(2);
    const held = gates.map(({ port }) => background.add(tasks.hold, port));
    for (const gate of gates) await gate.entered();
    expect(kind.counts(background).workers).toBe(2);
    for (const gate of gates) gate.open();
    const pids = await Promise.all(held.map(async ({ settled }) => (await settled).value));
    await kind.untilWorkers(background, 1);
    // It becomes idle later than that one: when it has ended, the time of that one is over, too.
    const later = kind.open(1, { idleTimeout: 20 });
    await later.add(tasks.nothing).settled;
    await kind.untilWorkers(later, 0);
    expect(kind.counts(background).workers).toBe(1);
    expect(pids).toContain((await background.add(tasks.whereAmI).settled).value?.pid);
  });

  it('end as soon as they are idle, with an `idleTimeout` of 0', async () => {
    const background = kind.open(1, { idleTimeout: 0 });
    for (let count = 0; count < 3; count += 1) {
      expect((await background.add(tasks.add, count, 1).settled).value).toBe(count + 1);
    }
    await kind.untilWorkers(background, 0);
  });
});

interface BrokenStart {
  readonly what: string;
  readonly workers: WorkerOptions;
  /** A part of the message, and of the cause. */
  readonly says: string;
  readonly cause: object;
}

const preloading = (file: string): WorkerOptions => ({ execArgv: ['--import', fixture(file).href] });

const exiting: BrokenStart = {
  what: 'a preloaded module that exits',
  workers: preloading('preload-exits.mjs'),
  says: 'code 7',
  cause: { exitCode: 7 },
};
const throwing: BrokenStart = {
  what: 'a preloaded module that throws',
  workers: preloading('preload-throws.mjs'),
  says: 'the preload is broken',
  cause: { exitCode: 1 },
};
/** Options that Node refuses before it starts anything. */
const refused: Record<WorkerKind['executor'], BrokenStart> = {
  thread: {
    what: 'a flag that Node does not know',
    workers: { execArgv: ['--no-such-flag'] },
    says: '--no-such-flag',
    cause: { code: 'ERR_WORKER_INVALID_EXEC_ARGV' },
  },
  process: {
    what: 'an environment that cannot be one',
    workers: { env: { BROKEN: 'a\0b' } },
    says: 'null bytes',
    cause: { code: 'ERR_INVALID_ARG_VALUE' },
  },
};

/** The same, where the first of them is started at once. */
const atOnce = ({ what, workers, ...rest }: BrokenStart): BrokenStart => ({
  what: `${what}, at the start of the server`,
  workers: { ...workers, min: 1 },
  ...rest,
});

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'background-tasks-pools-'));
  atEnd(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Options of a pool whose workers cannot start until the obstacle is removed. */
function obstacle(): { readonly options: WorkerOptions; remove(): void } {
  const file = join(makeDirectory(), 'obstacle');
  writeFileSync(file, '');
  return {
    options: { ...preloading('preload-exits-while.mjs'), env: { ...process.env, EXIT_WHILE: file } },
    remove: () => unlinkSync(file),
  };
}

const brokenStarts: Record<WorkerKind['executor'], readonly BrokenStart[]> = {
  thread: [refused.thread, throwing, atOnce(throwing)],
  // A process prints what it throws at its start, and wrong flags: see script-process-bad-flag.mjs.
  process: [refused.process, exiting, atOnce(exiting)],
};

describe.each(workerKinds)('$plural that cannot start', (kind) => {
  const { executor, tasks, cannotStart, option } = kind;

  it.each(brokenStarts[executor])(
    'fail the tasks that wait for them, and those that come later: $what',
    async ({ workers, says, cause }) => {
      const background = kind.open(2, workers);
      const handles = [1, 2, 3].map((count) => background.add(tasks.add, count, count));
      for (const { settled } of handles) {
        const outcome = await settled;
        expect(outcome).toMatchObject({ state: 'failed', attempts: 0, error: { code: cannotStart, cause } });
        expect(outcome.error?.message).toContain(`\`${option}\``);
        expect(outcome.error?.message).toContain(says);
      }
      expect(codeOf(await background.add(tasks.add, 4, 4).settled)).toBe(cannotStart);
      expect(background.stats()).toMatchObject({ added: 4, settled: 4, waiting: 0, running: 0 });
      expect(await background.close()).toMatchObject({ abandoned: [] });
    },
  );

  it('make backgroundTasks() throw if they are to be kept and Node refuses their options', () => {
    expect(thrownBy(() => kind.open(1, { ...refused[executor].workers, min: 1 })).code).toBe(cannotStart);
  });

  it.each([[{}], [{ min: 1 }]])('start as soon as they can, and the next task completes: %j', async (workers) => {
    const { remove, options } = obstacle();
    const background = kind.open(1, { ...workers, ...options });
    for (let count = 1; count <= 2; count += 1) {
      expect(codeOf(await background.add(tasks.add, count, count).settled)).toBe(cannotStart);
    }
    remove();
    expect(await background.add(tasks.add, 1, 2).settled).toMatchObject({ state: 'completed', value: 3 });
  });

  it('cost an attempt each, under whose number all that is told of the task speaks of it', async () => {
    const told: unknown[] = [];
    const { remove, options } = obstacle();
    const log = (_message: string, { attempt }: { attempt: number }): unknown => told.push(['logged', attempt]);
    const logger = { error: log, warn: log, info: log, debug: log };
    const background = kind.open(1, options, { logger, retry: { attempts: 2, delay: 0 } });
    background.on('started', ({ attempt }) => told.push(['started', attempt]));
    background.on('retrying', ({ attempt }) => {
      told.push(['retrying', attempt]);
      remove();
    });
    const outcome = await background.add(kind.aware.describeTask).settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 1, value: { attempt: 2 } });
    expect(told).toEqual([
      ['logged', 1],
      ['retrying', 1],
      ['started', 2],
      ['logged', 2],
    ]);
  });

  it('do no harm to tasks of the other executor, or on the event loop', async () => {
    const [other] = workerKinds.filter((one) => one !== kind) as [WorkerKind];
    const background = kind.open(2, exiting.workers, other.options(1));
    const failing = background.add(tasks.nothing);
    expect((await background.add(other.tasks.add, 1, 2).settled).value).toBe(3);
    expect((await background.add(() => 'here').settled).value).toBe('here');
    expect(codeOf(await failing.settled)).toBe(cannotStart);
  });
});

describe('backgroundTasks() that throws', () => {
  it('since no process can start leaves no thread behind', async () => {
    const ends: Promise<unknown>[] = [];
    const onWorker = (worker: Worker): void => void ends.push(once(worker, 'exit'));
    realProcess.on('worker', onWorker);
    atEnd(() => realProcess.off('worker', onWorker));
    const { code } = thrownBy(() =>
      backgroundTasks({
        ...threads.options(2, { min: 2 }),
        ...processes.options(1, { min: 1, ...refused.process.workers }),
      }),
    );
    expect(code).toBe('ERR_BACKGROUND_PROCESS_START');
    // Node tells of each thread in the next tick.
    await new Promise(setImmediate);
    expect(ends).toHaveLength(2);
    await Promise.all(ends);
  });

  it('since a second process cannot start leaves no first one behind', async () => {
    const { fork } = childProcess;
    const children: ChildProcess[] = [];
    const forking = jest.spyOn(childProcess, 'fork').mockImplementation(((...args: Parameters<typeof fork>) => {
      if (children.length > 0) throw new Error('there is no room for another');
      children.push(fork(...args));
      return children[0];
    }) as typeof fork);
    atEnd(() => forking.mockRestore());
    expect(thrownBy(() => backgroundTasks(processes.options(2, { min: 2 }))).code).toBe('ERR_BACKGROUND_PROCESS_START');
    await once(children[0] as ChildProcess, 'exit');
  });
});

describe.each(workerKinds)('a task whose $executor was gone before it began', ({ open, tasks }) => {
  it('is given its whole time by the next, however long that takes to start', async () => {
    const background = open(1, preloading('preload-slow.mjs'));
    const leaving = background.add(tasks.returnAndExit, 0);
    const next = background.with({ timeout: 600 }).add(tasks.add, 1, 2);
    expect((await leaving.settled).state).toBe('completed');
    const outcome = await next.settled;
    expect(outcome).toMatchObject({ state: 'completed', value: 3, attempts: 1 });
    expect(outcome.ranMs).toBeLessThan(600);
  });
});

describe.each(workerKinds)('a $executor whose exit never ends', ({ open, tasks, executor }) => {
  it.each<[string, (isLeaving: () => boolean) => Promise<void>]>([
    [
      'waits for its place',
      async (isLeaving) => {
        await untilHolds(isLeaving);
        // What was sent before the file was there is read in this turn.
        await untilTimersComeNext();
      },
    ],
    [
      'was sent to it before its leaving was heard of',
      async (isLeaving) => {
        // The event loop does not turn: nothing is heard of it.
        while (!isLeaving());
      },
    ],
  ])('is ended after some seconds when a task %s, and that is logged', async (_which, untilLeaving) => {
    const log = openLogBook();
    const background = open(1, {}, { logger: log.logger });
    const file = join(makeDirectory(), 'leaving');
    expect((await background.add(tasks.returnAndNeverExit, file).settled).state).toBe('completed');
    await untilLeaving(() => existsSync(file));
    expect(await background.add(tasks.add, 1, 2).settled).toMatchObject({ state: 'completed', value: 3, attempts: 1 });
    const [line] = log.withCode('ERR_BACKGROUND_STRAY');
    expect(line?.message).toMatch(new RegExp(`^Between two tasks: The ${executor} `));
  });
});

it('a task that four processes died of before they had received it is not given to a fifth', async () => {
  const started: unknown[] = [];
  const log = openLogBook();
  const background = processes.open(1, preloading('preload-exits-on-task.mjs'), { logger: log.logger });
  background.on('started', ({ id }) => started.push(id));
  const { id, settled } = background.add(processes.tasks.nothing);
  const error = { code: processes.exited, exitCode: 5 };
  expect(await settled).toMatchObject({ state: 'failed', attempts: 1, error });
  expect(started).toEqual([id]);
  expect(log.withCode('ERR_BACKGROUND_STRAY')).toHaveLength(3);
});

describe('a task that is back, since its process was gone before it began', () => {
  /** The next process does not start until the gate is opened. */
  async function addReturned() {
    const directory = makeDirectory();
    const [FIRST, GATE, ran] = ['first', 'gate', 'ran'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const file of [FIRST, GATE]) writeFileSync(file, '');
    const log = openLogBook();
    const env = { ...process.env, FIRST, GATE };
    const background = processes.open(1, { ...preloading('preload-returns-task.mjs'), env }, { logger: log.logger });
    const started: unknown[] = [];
    background.on('started', ({ id }) => started.push([id, background.find(id)?.state]));
    const handle = background.add(processes.tasks.writeFile, ran);
    const addedAt = performance.now();
    // By this line it is back.
    await log.until('ERR_BACKGROUND_STRAY');
    expect(started).toEqual([[handle.id, 'running']]);
    return {
      background,
      handle,
      started,
      waitedMs: () => performance.now() - addedAt,
      open: () => unlinkSync(GATE),
      hasRun: () => existsSync(ran),
    };
  }

  it('waits, and once it has run its outcome counts the second wait, too', async () => {
    const { background, handle, started, waitedMs, open, hasRun } = await addReturned();
    expect(handle.state).toBe('waiting');
    expect(background.stats()).toMatchObject({ added: 1, waiting: 1, running: 0, retrying: 0, settled: 0 });
    expect(processes.counts(background)).toMatchObject({ waiting: 1, running: 0 });
    const waited = waitedMs();
    open();
    const outcome = await handle.settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 1 });
    expect(outcome.waitedMs).toBeGreaterThanOrEqual(waited);
    expect(started).toHaveLength(1);
    expect(hasRun()).toBe(true);
  });

  it('never runs if it is cancelled then', async () => {
    const { background, handle, waitedMs, open, hasRun } = await addReturned();
    const waited = waitedMs();
    expect(handle.cancel('not needed')).toBe(true);
    expect(handle.state).toBe('cancelled');
    expect(background.stats()).toMatchObject({ waiting: 0, running: 0, settled: 1, outcomes: { cancelled: 1 } });
    const outcome = await handle.settled;
    expect(outcome).toMatchObject({ attempts: 1, ranMs: 0, error: { code: 'ERR_BACKGROUND_CANCELLED' } });
    expect(outcome.waitedMs).toBeGreaterThanOrEqual(waited);
    open();
    expect((await background.add(processes.tasks.add, 1, 2).settled).value).toBe(3);
    expect(hasRun()).toBe(false);
  });

  it('is named as waiting if close() runs out of time then', async () => {
    const { background, handle, hasRun } = await addReturned();
    const { completed, failed, abandoned } = await background.close({ timeout: 50 });
    expect({ completed, failed, abandoned }).toMatchObject({ completed: 0, failed: 0, abandoned: [{ id: handle.id }] });
    const outcome = await handle.settled;
    expect(outcome).toMatchObject({ state: 'abandoned', attempts: 1, ranMs: 0 });
    expect(outcome.error?.message).toContain('while it was waiting');
    expect(background.stats()).toMatchObject({ waiting: 0, running: 0, settled: 1 });
    expect(hasRun()).toBe(false);
  });
});

describe.each(workerKinds)('close() with $plural', (kind) => {
  const { tasks } = kind;

  it('waits for the tasks that run, though others are idle, then ends them all, and takes no more', async () => {
    const background = kind.open(2, { min: 1 });
    const gate = await makeWorkerGate();
    const running = background.add(tasks.hold, gate.port);
    const pids = [await gate.entered(), (await background.add(tasks.whereAmI).settled).value?.pid as number];
    expect(kind.counts(background)).toMatchObject({ running: 1, workers: 2, idle: 1 });
    const brief = background.add(tasks.nothing);
    const closing = background.close({ timeout: 10_000 });
    await brief.settled;
    gate.open();
    expect(await closing).toEqual({ completed: 2, failed: 0, abandoned: [] });
    expect((await running.settled).state).toBe('completed');
    expect(pids.map(kind.isGone)).toEqual([true, true]);
    expect(thrownBy(() => background.add(tasks.nothing)).code).toBe('ERR_BACKGROUND_CLOSED');
    expect(kind.counts(background).workers).toBe(0);
  });

  it('does not name a task as abandoned that ended in time, while the event loop was blocked', async () => {
    const background = kind.open(1);
    await background.add(tasks.nothing).settled;
    const file = join(makeDirectory(), 'written');
    await untilTimersComeNext();
    background.add(tasks.writeFile, file);
    const timeout = 200;
    const closing = background.close({ timeout });
    while (!existsSync(file));
    blockFor(2 * timeout);
    expect(await closing).toEqual({ completed: 1, failed: 0, abandoned: [] });
  });

  it('ends those that are only just starting', async () => {
    const background = kind.open(2, { min: 2 });
    expect(await background.close({ timeout: 200 })).toEqual({ completed: 0, failed: 0, abandoned: [] });
    expect(kind.counts(background).workers).toBe(0);
  });
});

describe.each(workerKinds)('a program with $plural', (kind) => {
  const { executor, plural } = kind;
  const warm = JSON.stringify(kind.options(2, { min: 2, idleTimeout: 600_000 }));

  it('is not kept alive by one that is idle and one that was never used, and they end with it', async () => {
    const { pid, counts } = JSON.parse(await runScript('script-idle.mjs', executor, warm));
    expect(counts).toMatchObject({ [plural]: 2, outcomes: { completed: 1 } });
    await untilGone(pid, 5_000);
  });

  it.each([
    ['one', 1, 0],
    ['several that are to be kept warm', 4, 4],
  ])(
    'is not kept alive by workers that cannot start, when nothing waits for them any more: %s',
    async (_which, max, min) => {
      const options = JSON.stringify(kind.options(max, { min, ...preloading('preload-exits.mjs') }));
      const codes = JSON.parse(await runScript('script-workers-cannot-start.mjs', executor, options));
      expect(codes).toEqual(Array(5).fill(kind.cannotStart));
    },
  );

  it('runs tasks under its own loaders, also if they are given other options of Node', async () => {
    const options = JSON.stringify(kind.options(1, { execArgv: ['--no-warnings'] }));
    const loader = ['--import', fixture('preload-counts.mjs').href];
    const { preloads, nodeOptions } = JSON.parse(
      await runScriptWith(loader, 'script-preloaded.mjs', executor, options),
    );
    expect(preloads).toBe(1);
    expect(nodeOptions).toContain('--no-warnings');
  });

  it('does not end while a task waits for the place of one that is about to exit', async () => {
    expect(await runScript('script-waits-for-leaving.mjs', executor)).toBe('3\n');
  });

  it('still runs a blocking task that it adds just before its end', async () => {
    expect(await runScript('script-add-and-end.mjs', executor)).toBe('end of script\nthe task ran\n');
  });
});

describe('a program that was started with', () => {
  it.each([
    ...optionsOfSomeVersions,
    ['the permission model', permissions, 'ERR_ACCESS_DENIED'],
    ['no warnings of a kind', ['--disable-warning', 'ExperimentalWarning'], 'a secret'],
    ['no code made of text', ['--disallow-code-generation-from-strings'], 'a secret'],
    ["V8's own functions", ['--allow-natives-syntax'], 'a secret'],
  ])(
    '%s runs tasks under the same in threads and in processes, and blocks do not end it',
    async (_what, nodeOptions, read) => {
      const secret = join(makeDirectory(), 'secret');
      writeFileSync(secret, 'a secret');
      const execArgv = ['--no-deprecation'];
      const options = JSON.stringify({ ...threads.options(1, { execArgv }), ...processes.options(1, { execArgv }) });
      const printed = await runScriptWith(nodeOptions, 'script-restricted.mjs', options, secret);
      expect(JSON.parse(printed)).toEqual({ read: { thread: read, process: read }, blocked: 'block' });
    },
  );
});
