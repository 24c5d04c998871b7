/** The end of a server: a process of its own, under load from another, that is sent SIGTERM. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { atEnd } from './support/cleanup.ts';
import { linesOfScript, runScript } from './support/scripts.ts';
import { startShutdownServer, type WantedTask } from './support/shutdown-server.ts';

/** Of some 1.3 s each; `node scripts/shutdown-under-load.mjs` does 200. */
const ROUNDS = 3;

const underLoad = fileURLToPath(new URL('../scripts/shutdown-under-load.mjs', import.meta.url));

interface Round {
  readonly round: number;
  readonly accepted: number;
  readonly journalled: number;
  readonly abandoned: number;
  readonly faults: readonly string[];
}

function runUnderLoad(rounds: number): Promise<{ output: string; seed: number; results: readonly Round[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-under-load-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'results.json');
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [underLoad, '--rounds', String(rounds), '--json', file], (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else if (stderr !== '') reject(new Error(stderr));
      else resolve({ output: stdout, ...JSON.parse(readFileSync(file, 'utf8')) });
    });
  });
}

describe('when a server under load gets SIGTERM at a random moment', () => {
  it('every task that a client was told of is done, or named as abandoned, and the process exits by itself', async () => {
    const { output, seed, results } = await runUnderLoad(ROUNDS);
    // The message of a failure contains the seed.
    expect({ seed, faults: results.flatMap(({ faults }) => faults) }).toEqual({ seed, faults: [] });
    expect(results).toHaveLength(ROUNDS);
    const accepted = results.reduce((sum, round) => sum + round.accepted, 0);
    expect(accepted).toBeGreaterThan(0);
    expect(results.reduce((sum, { journalled, abandoned }) => sum + journalled + abandoned, 0)).toBe(accepted);
    process.stdout.write(output);
  });
});

describe('after SIGTERM', () => {
  it('the process exits by itself with nothing to wait for', async () => {
    const server = await startShutdownServer({ timeout: 10_000 });
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.report()).toMatchObject({ completed: 0, failed: 0, abandoned: [] });
  });

  it('the process exits by itself when retries were waited for, and the last attempts have done the work', async () => {
    const server = await startShutdownServer({ timeout: 10_000 });
    const executors = ['event-loop', 'thread', 'process'] as const;
    const retry = { attempts: 2, delay: 1_000, jitter: 0 };
    // A request each: the tasks of one response would wait for one another.
    const adding = executors.map((executor) => server.add({ executor, name: 'stumble', argument: 2, retry }));
    await Promise.all(executors.map((executor) => server.until(`retrying stumble ${executor}`)));
    const ids = (await Promise.all(adding)).flat();
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    // On a slow machine the first may be done before the signal is sent: the journal counts them all.
    expect(server.report()).toMatchObject({ failed: 0, abandoned: [] });
    expect(server.journal().sort()).toEqual(ids.sort());
  });

  it('the process exits by itself without the retry whose time has not come', async () => {
    const server = await startShutdownServer({ timeout: 200 });
    const [id] = await server.add({
      executor: 'thread',
      name: 'stumble',
      argument: 2,
      retry: { attempts: 2, delay: 60_000 },
    });
    await server.until('retrying stumble thread');
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.report().abandoned).toMatchObject([{ id, name: 'stumble', attempts: 1 }]);
    expect(server.journal()).toEqual([]);
  });

  it('the process exits by itself when its first thread and its first process were only just starting', async () => {
    const server = await startShutdownServer({ timeout: 10_000 });
    const ids = await server.add({ executor: 'thread', name: 'quick' }, { executor: 'process', name: 'quick' });
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.report()).toMatchObject({ completed: 2, failed: 0, abandoned: [] });
    expect(server.journal()).toEqual(ids);
  });

  it('the process exits by itself once, however often the signal comes', async () => {
    const server = await startShutdownServer({ timeout: 10_000 });
    const ids = await server.add({ executor: 'event-loop', name: 'rest', argument: 1_500 });
    await server.until('started rest event-loop');
    for (let times = 0; times < 3; times += 1) server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.report()).toMatchObject({ completed: 1, failed: 0, abandoned: [] });
    expect(server.journal()).toEqual(ids);
  });

  it('the process exits by itself with every executor in the middle of a task that goes on for too long', async () => {
    const server = await startShutdownServer({ timeout: 400 });
    const wanted: WantedTask[] = [
      { executor: 'event-loop', name: 'rest', argument: 60_000 },
      { executor: 'thread', name: 'compute', argument: 60_000 },
      { executor: 'process', name: 'compute', argument: 60_000 },
    ];
    const ids = await Promise.all(wanted.map(async (task) => (await server.add(task))[0]));
    for (const { executor, name } of wanted) await server.until(`started ${name} ${executor}`);
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
    const { abandoned } = server.report();
    expect(abandoned.map(({ id }) => id).sort()).toEqual(ids.sort());
    expect(abandoned.map(({ arguments: [, duration] }) => duration)).toEqual(['60000', '60000', '60000']);
    expect(server.journal()).toEqual([]);
  });
});

describe('the signals and the uncaught errors of the process', () => {
  it('are left to the application: no listener is installed, in whatever executor tasks run, fail and end', async () => {
    const { states, open, closed } = JSON.parse(await runScript('script-handlers.mjs'));
    expect(states).toEqual(['completed', 'completed', 'completed', 'failed', 'failed', 'failed']);
    expect({ open, closed }).toEqual({ open: [0, 0, 0, 0, 0], closed: [0, 0, 0, 0, 0] });
  });
});

describe('when time has run out, and a task on the event loop never comes back from its signal', () => {
  it('every task that was abandoned is in the log before, wherever it ran', async () => {
    const lines = await linesOfScript('script-abort-loops.mjs', 'the loop begins');
    const named = lines.flatMap((line) => /error: Task (.*?) was abandoned/.exec(line)?.[1] ?? []);
    expect(named.sort()).toEqual([
      ...['deaf in a process', 'deaf in a thread', 'heeding in a thread'],
      ...['loops at its signal', 'on the event loop'],
    ]);
  });
});

describe('when the signal goes to the child processes as well, as a terminal and systemd send it', () => {
  it('a task that runs in one of them completes', async () => {
    const server = await startShutdownServer({ timeout: 10_000 });
    const ids = await server.add({ executor: 'process', name: 'rest', argument: 300 });
    await server.until('started rest process');
    server.signal('SIGTERM', 'group');
    expect(await server.ended).toBe(0);
    expect(server.report()).toMatchObject({ completed: 1, failed: 0, abandoned: [] });
    expect(server.journal()).toEqual(ids);
  });
});
