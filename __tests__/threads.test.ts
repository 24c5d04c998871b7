/** What is particular to tasks in threads: memory and ports that they share with the server. See also blocking*.test.ts. */
import { existsSync } from 'node:fs';
import { availableParallelism, getPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { move, type PoolOptions } from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { makeThreadGate } from './support/gates.ts';
import { canCountWorkers, countWorkers } from './support/live-workers.ts';
import { openLogBook } from './support/log-book.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { runScript, runScriptWithDescriptors } from './support/scripts.ts';
import { shareBackground } from './support/shared-background.ts';
import { threads } from './support/worker-kinds.ts';

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

  it('are refused a MessagePort that would have to go to several attempts, and it stays where it is', async () => {
    const background = shared();
    const { port1, port2 } = new MessageChannel();
    atEnd(() => port1.close());
    const answered = new Promise((resolve) => port1.once('message', resolve));
    const add = (attempts: number) =>
      background.with({ retry: { attempts, delay: 60_000 } }).add(tasks.answerOn, move(port2), 'over the port');
    expect(thrownBy(() => add(2))).toMatchObject({
      code: 'ERR_BACKGROUND_NOT_CLONEABLE',
      message: expect.stringContaining('argument 0 of task answerOn'),
    });
    expect((await add(1).settled).state).toBe('completed');
    expect(await answered).toBe('over the port');
  });

  it('are refused a view of memory that has shrunk since, by its index', () => {
    const background = shared();
    const memory = Reflect.construct(ArrayBuffer, [16, { maxByteLength: 32 }]);
    const bytes = new Uint8Array(memory, 8, 8);
    memory.resize(4);
    const add = () => background.add(tasks.add as never, ...([move(new Uint8Array(8)), move(bytes)] as never[]));
    expect(thrownBy(add)).toMatchObject({
      code: 'ERR_BACKGROUND_NOT_CLONEABLE',
      message: expect.stringContaining('argument 1 of task add'),
    });
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

  it.each(['module-enums.ts', 'module-enums.mts'])('run TypeScript by --import tsx: %s', async (file) => {
    const { width } = threads.refer<{ width(size: string): number }>(file);
    const background = threads.open(1, { execArgv: ['--import', 'tsx'] });
    expect(await background.add(width, 'Small').settled).toMatchObject({ state: 'completed', value: 100 });
  });
});

if (!canCountWorkers)
  process.stdout.write('Threads that are gone unheard are NOT tested: this system cannot count them.\n');

(canCountWorkers ? describe : describe.skip)('the end of the only thread', () => {
  /** Keeps the event loop from hearing anything until there are fewer threads; gives up after a while, in milliseconds. */
  function blockUntilFewerThan(threadsBefore: number): void {
    const givenUpAt = performance.now() + 10_000;
    while (countWorkers().threads >= threadsBefore && performance.now() < givenUpAt);
  }

  it('that is heard of together with its last answer leaves what waits, and what is moved to it, for the next', async () => {
    const background = threads.open(1);
    await background.add(tasks.nothing).settled;
    const started: string[] = [];
    background.on('started', ({ id }) => started.push(id));
    const before = countWorkers().threads;
    const last = background.add(tasks.returnAndExit, 3);
    const waiting = background.add(tasks.lengthOf, move(new Uint8Array(8)));
    blockUntilFewerThan(before);
    expect(await last.settled).toMatchObject({ state: 'completed', value: 'returned' });
    expect(await waiting.settled).toMatchObject({ state: 'completed', value: 8, attempts: 1 });
    expect(started).toEqual([last.id, waiting.id]);
  });
});

const tellsNiceness = existsSync('/proc/thread-self/stat');
if (!tellsNiceness)
  process.stdout.write('The priority of threads is NOT tested: this system has no /proc to tell it.\n');

(tellsNiceness ? describe : describe.skip)('the priority of threads', () => {
  const NICEST = 19;
  const places = threads.refer<typeof import('./fixtures/place-tasks.mjs')>('place-tasks.mjs');
  const nicenessIn = async (pool: PoolOptions): Promise<unknown> =>
    (await makeBackground({ pool: { maxThreads: 1, ...pool } }).add(places.niceness).settled).value;

  it("is below the event loop's by 10, or by what `niceIncrement` says", async () => {
    const ofServer = getPriority();
    expect(await nicenessIn({})).toBe(Math.min(ofServer + 10, NICEST));
    expect(await nicenessIn({ niceIncrement: 2 })).toBe(Math.min(ofServer + 2, NICEST));
    expect(await nicenessIn({ niceIncrement: 0 })).toBe(ofServer);
  });

  it("is the event loop's if @napi-rs/nice is not installed, and nothing is logged about that", async () => {
    const log = openLogBook();
    const background = makeBackground({
      logger: log.logger,
      watchdog: false,
      pool: { maxThreads: 1, execArgv: ['--require', fileURLToPath(fixture('preload-without-nice.cjs'))] },
    });
    expect(await background.add(places.niceness).settled).toMatchObject({ state: 'completed', value: getPriority() });
    expect((await background.add(places.globalOf, 'niceWasAskedFor').settled).value).toBe(true);
    expect(log.lines.filter(({ level }) => level !== 'debug')).toEqual([]);
  });
});

describe('an instance without options for its pools', () => {
  it('has a thread and a process less than there are cores, and one of each at least', () => {
    const { thread, process: child } = makeBackground().stats().executors;
    const most = Math.max(availableParallelism() - 1, 1);
    expect([thread.maxThreads, child.maxProcesses]).toEqual([most, most]);
  });
});

describe('a program', () => {
  it('is not kept alive by threads that were started and never used', async () => {
    const warm = JSON.stringify(threads.options(1, { min: 1, idleTimeout: 600_000 }));
    expect(await runScript('script-never-used.mjs', warm)).toBe('end of script\n');
  });

  it('starts threads when it has file descriptors again, though it had none left for the first', async () => {
    const states = JSON.parse(await runScriptWithDescriptors(256, 'script-descriptors-run-out.mjs'));
    expect(states).toEqual(['failed', 'completed']);
  });
});
