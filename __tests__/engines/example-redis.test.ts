import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, jest } from '@jest/globals';
import { atEnd } from '../support/cleanup.ts';
import { isAlive, untilGone } from '../support/process-ids.ts';
import { root } from '../support/projects.ts';
import { type Program, startProgram } from '../support/server-program.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

jest.setTimeout(60_000);

const GONE_WITHIN = 20_000;

interface Uploaded {
  readonly thumbnail: string;
  readonly tasks: readonly { readonly id: string; readonly name: string }[];
}

interface Example {
  readonly program: Program;
  readonly url: string;
  readonly workerPid: number;
  upload(): Promise<Uploaded>;
  untilCompleted(upload: Uploaded): Promise<void>;
}

async function startExample(env: Record<string, string> = {}): Promise<Example> {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-example-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const program = startProgram([join(root, 'examples/app/server.js'), '--engine', 'redis'], {
    env: { ...process.env, PORT: '0', DATA: folder, ...env },
  });
  const workerPid = Number((await program.until(/the worker is process (\d+)/))[1]);
  atEnd(() => isAlive(workerPid) && process.kill(workerPid, 'SIGKILL'));
  const url = (await program.until(/^Listening on (http:\S+),/m))[1] as string;
  return {
    program,
    url,
    workerPid,
    async upload() {
      const body = new URLSearchParams({ email: 'ada@example.com', sample: 'lake-at-dusk.jpg' });
      const form = new FormData();
      for (const [name, value] of body) form.set(name, value);
      const answer = await fetch(`${url}/uploads`, { method: 'POST', body: form, headers: { connection: 'close' } });
      expect(answer.status).toBe(202);
      return (await answer.json()) as Uploaded;
    },
    async untilCompleted({ tasks }) {
      const id = tasks.find(({ name }) => name === 'thumbnail')?.id;
      let task: { state: string };
      do task = (await (await fetch(`${url}/tasks/${id}`)).json()) as typeof task;
      while (task.state !== 'completed');
    },
  };
}

if (redisIsInstalled) {
  it('the example keeps thumbnails in a Redis of its own, a worker makes them, and the end leaves no process', async () => {
    const { program, url, workerPid, upload, untilCompleted } = await startExample();
    const uploaded = await upload();
    await untilCompleted(uploaded);
    expect((await fetch(url + uploaded.thumbnail)).headers.get('content-type')).toBe('image/webp');
    program.kill('SIGTERM');
    expect(await program.exited).toBe(0);
    expect(program.output).toMatch(/^Takes tasks of bullmq: images\.thumbnail$/m);
    await untilGone(workerPid, GONE_WITHIN);
  });

  it('the worker of the example makes the thumbnail of a server that was killed after its answer', async () => {
    const { url: REDIS_URL } = await startRedis();
    const { program, upload } = await startExample({ REDIS_URL });
    const uploaded = await upload();
    program.kill('SIGKILL');
    await program.exited;
    const next = await startExample({ REDIS_URL });
    await next.untilCompleted(uploaded);
  });
} else {
  it.skip('the example with --engine redis (not tried: redis-server is not installed here)', () => {});
}
