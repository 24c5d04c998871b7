/** The command finds its engine by a URL; everything else about it is tested in worker-program.test.ts. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, jest } from '@jest/globals';
import type { TaskEngine } from 'express-background-tasks';
import { atEnd } from '../support/cleanup.ts';
import { fixture } from '../support/fixtures.ts';
import { root } from '../support/projects.ts';
import { startProgram } from '../support/server-program.ts';
import { noPgBoss } from './support/pg-boss-node.ts';
import { postgresIsInstalled, startPostgres } from './support/postgres-server.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

jest.setTimeout(60_000);

interface Place {
  readonly name: string;
  readonly missing: string | undefined;
  start(): Promise<{ readonly url: string }>;
  engineAt(connection: string, queue?: string): Promise<TaskEngine>;
}

const places: readonly Place[] = [
  {
    name: 'bullmq',
    missing: redisIsInstalled ? undefined : 'redis-server is not installed here',
    start: () => startRedis(),
    engineAt: async (connection, queue) =>
      (await import('express-background-tasks/bullmq')).bullmq({ connection, queue }),
  },
  {
    name: 'pg-boss',
    missing: noPgBoss ?? (postgresIsInstalled ? undefined : 'Postgres is not installed here'),
    start: () => startPostgres(),
    engineAt: async (connection, queue) =>
      (await import('express-background-tasks/pg-boss')).pgBoss({ connection, queue }),
  },
];

describe.each(places)('$name', ({ name, missing, start, engineAt }) => {
  if (missing !== undefined) {
    it.skip(`is found by its URL (not tried: ${missing})`, () => {});
    return;
  }

  it.each([
    ['--engine', undefined],
    ['--engine, with --queue', 'another'],
    ['BACKGROUND_TASKS_ENGINE', undefined],
  ])('runs tasks for the command that is given its URL by %s', async (how, queue) => {
    const { url } = await start();
    const registry = fileURLToPath(fixture('worker-registry.mjs'));
    const where = how.startsWith('--') ? ['--engine', url] : [];
    const program = startProgram(
      [
        join(root, 'dist/esm/cli/main.js'),
        ...['work', registry, '--threads', '1'],
        ...where,
        ...(queue === undefined ? [] : ['--queue', queue]),
      ],
      { env: { ...process.env, BACKGROUND_TASKS_ENGINE: where.length > 0 ? '' : url } },
    );
    await program.until(new RegExp(`^Takes tasks from ${name}: tasks\\.takeSomeTime`, 'm'));
    const engine = await engineAt(url, queue);
    atEnd(() => engine.close());
    await engine.start({ warn() {}, error() {} });
    const envelope = { v: 1, id: randomUUID(), task: 'tasks.takeSomeTime', args: [1] } as const;
    const retry = { attempts: 1, delay: 1, factor: 1, maxDelay: 1, jitter: 0 };
    await engine.stage([{ envelope, holdMs: 0, priority: 0, retry }], {});
    await program.until(/^task: done$/m);
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    expect(await engine.find(envelope.id)).toMatchObject({ state: 'completed' });
  });
});
