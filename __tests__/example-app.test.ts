import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ClassicLevel } from 'classic-level';
import sharp from 'sharp';
import { type EventStream, type Example, listenTo, photos, pingUntil, startExample } from './support/example-app.ts';
import { root, runNode } from './support/projects.ts';
import { untilHolds, work } from './support/time.ts';

const PATIENCE = 60_000;
const photo = readFileSync(join(photos, 'lake-at-dusk.jpg'));

interface Accepted {
  readonly id: string;
  readonly thumbnail: string;
  readonly tasks: readonly { readonly id: string; readonly name: string }[];
}

let example: Example;
let events: EventStream;

beforeAll(async () => {
  example = await startExample();
  events = await listenTo(example.url);
}, PATIENCE);

afterAll(async () => {
  events.close();
  await example.stop();
  example.clear();
}, PATIENCE);

function upload(fields: Record<string, string | Blob>, url = example.url): Promise<Response> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') form.set(name, value);
    else form.set(name, value, 'holiday.jpg');
  }
  return fetch(`${url}/uploads`, { method: 'POST', body: form });
}

async function uploadPhoto(bytes: Buffer = photo, url = example.url): Promise<Accepted> {
  const response = await upload({ email: 'ada@example.com', photo: new Blob([new Uint8Array(bytes)]) }, url);
  expect(response.status).toBe(202);
  return response.json() as Promise<Accepted>;
}

async function json<T>(path: string): Promise<T> {
  const response = await fetch(`${example.url}${path}`);
  expect(response.status).toBe(200);
  return response.json() as Promise<T>;
}

describe('when a photograph is uploaded', () => {
  it(
    'answers before the tasks have ended',
    async () => {
      const accepted = await uploadPhoto();
      const answeredAt = performance.now();
      const [thumbnail] = await events.settled(accepted.tasks);
      expect(thumbnail?.at).toBeGreaterThan(answeredAt);
    },
    PATIENCE,
  );

  it(
    'runs four tasks after the response, each where it belongs, and says how long each waited and ran',
    async () => {
      const accepted = await uploadPhoto();
      const settled = await events.settled(accepted.tasks);
      expect(settled.map(({ name, executor, state }) => [name, executor, state])).toEqual([
        ['thumbnail', 'thread', 'completed'],
        ['mail', 'event-loop', 'completed'],
        ['audit', 'event-loop', 'completed'],
        ['record', 'event-loop', 'completed'],
      ]);
      for (const { response, waitedMs, ranMs } of settled) {
        expect(response).toEqual({ ended: 'sent', statusCode: 202 });
        expect(waitedMs).toBeGreaterThan(0);
        expect(ranMs).toBeGreaterThan(0);
      }
    },
    PATIENCE,
  );

  it(
    'makes a thumbnail of the right size and format, with a palette',
    async () => {
      const accepted = await uploadPhoto();
      const [thumbnail] = await events.settled(accepted.tasks);
      expect(thumbnail?.value?.['palette']).toEqual(
        Array.from({ length: 5 }, () => expect.stringMatching(/^#[\da-f]{6}$/)),
      );

      const response = await fetch(`${example.url}${accepted.thumbnail}`);
      expect(response.headers.get('content-type')).toBe('image/webp');
      const { format, width, height } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
      expect({ format, width, height }).toEqual({ format: 'webp', width: 320, height: 213 });
    },
    PATIENCE,
  );

  it(
    'sends a mail that the SMTP server receives',
    async () => {
      const { id } = await uploadPhoto();
      await events.first((event) => event.type === 'mail' && event.requestId === id);
      const mails = await json<{ requestId: string }[]>('/mails');
      expect(mails.filter(({ requestId }) => requestId === id)).toEqual([
        {
          requestId: id,
          from: '"Photo album" <album@example.com>',
          to: ['ada@example.com'],
          subject: 'Welcome to the photo album',
          text: expect.stringContaining('your photograph "holiday.jpg" has arrived'),
        },
      ]);
    },
    PATIENCE,
  );

  it(
    'writes a line into the audit log and a record into the database',
    async () => {
      const accepted = await uploadPhoto();
      await events.settled(accepted.tasks);
      const { id: requestId } = accepted;
      expect(auditLines(example).filter((line) => line['requestId'] === requestId)).toEqual([
        {
          time: expect.any(String),
          action: 'photo.uploaded',
          requestId,
          email: 'ada@example.com',
          name: 'holiday.jpg',
          bytes: photo.length,
        },
      ]);
      expect(await json(`/records/${requestId}`)).toEqual({
        email: 'ada@example.com',
        name: 'holiday.jpg',
        bytes: photo.length,
        receivedAt: expect.any(String),
      });
    },
    PATIENCE,
  );

  it(
    'can be asked about each task afterwards',
    async () => {
      const accepted = await uploadPhoto();
      await events.settled(accepted.tasks);
      for (const { id, name } of accepted.tasks) {
        expect(await json(`/tasks/${id}`)).toMatchObject({ id, name, state: 'completed', attempts: 1 });
      }
      expect((await fetch(`${example.url}/tasks/nobody-1`)).status).toBe(404);
    },
    PATIENCE,
  );
});

describe('when one of the shipped photographs is chosen', () => {
  it(
    'makes its thumbnail',
    async () => {
      const samples = await json<string[]>('/samples');
      expect(samples).toHaveLength(3);
      for (const sample of samples) {
        const response = await upload({ email: 'ada@example.com', sample });
        const { tasks } = (await response.json()) as Accepted;
        const [thumbnail] = await events.settled(tasks);
        expect(thumbnail).toMatchObject({ state: 'completed', value: { width: 320, height: 213 } });
      }
    },
    PATIENCE,
  );
});

describe('when the name of the file is not in ASCII', () => {
  it(
    'is kept as it is, in the answer and in the mail',
    async () => {
      const name = 'Köln – 東京.jpg';
      const form = new FormData();
      form.set('email', 'ada@example.com');
      form.set('photo', new Blob([new Uint8Array(photo)]), name);
      const response = await fetch(`${example.url}/uploads`, { method: 'POST', body: form });
      expect(await response.json()).toMatchObject({ name });
      const { text } = (await events.first(({ requestId }) => requestId === response.headers.get('x-request-id'))) as {
        readonly text?: string;
      };
      expect(text).toContain(`"${name}"`);
    },
    PATIENCE,
  );
});

describe('when the upload is no image', () => {
  it(
    'ends as a failed task, with one line in the log, and the application goes on',
    async () => {
      const accepted = await uploadPhoto(Buffer.from('this is a letter, not a photograph'));
      const settled = await events.settled(accepted.tasks);
      expect(settled.map(({ name, state }) => [name, state])).toEqual([
        ['thumbnail', 'failed'],
        ['mail', 'completed'],
        ['audit', 'completed'],
        ['record', 'completed'],
      ]);
      expect(settled[0]?.error?.message).toMatch(/unsupported image format/);

      const next = await events.settled((await uploadPhoto()).tasks);
      expect(next[0]?.state).toBe('completed');
      // Checked last: the process's output arrives separately from its responses.
      const lines = example.output().split('\n');
      expect(lines.filter((line) => line.includes(accepted.tasks[0]?.id ?? 'no id'))).toHaveLength(1);
    },
    PATIENCE,
  );
});

describe('when a photograph is a single pixel wide and very long', () => {
  it(
    'makes no more of it than it is: a hundred bytes must not take the memory of thousands of photographs',
    async () => {
      const create = { width: 1, height: 10_000, channels: 3, background: 'red' } as const;
      const accepted = await uploadPhoto(await sharp({ create }).png().toBuffer());
      const [thumbnail] = await events.settled(accepted.tasks);
      expect(thumbnail).toMatchObject({ state: 'completed', value: { width: 1, height: 10_000 } });
    },
    PATIENCE,
  );
});

describe('when a photograph is transparent in parts', () => {
  it(
    'has the white that the page shows there in its palette, and each colour once',
    async () => {
      const circle = '<svg width="80" height="60"><circle cx="40" cy="30" r="25" fill="#e33"/></svg>';
      const accepted = await uploadPhoto(await sharp(Buffer.from(circle)).png().toBuffer());
      const [thumbnail] = await events.settled(accepted.tasks);
      const palette = thumbnail?.value?.['palette'] as string[];
      expect(palette).toContain('#ffffff');
      expect(palette).not.toContain('#000000');
      expect(palette).toEqual([...new Set(palette)]);
    },
    PATIENCE,
  );
});

describe('when a photograph is as large as those of many telephones', () => {
  it('is taken: one of 10 MB', async () => {
    const bytes = new Uint8Array(10 * 1024 * 1024);
    expect((await upload({ email: 'ada@example.com', photo: new Blob([bytes]) })).status).toBe(202);
  });
});

describe('when an upload is refused', () => {
  it.each([
    ['has more than 10 MB', 413, { email: 'ada@example.com', photo: new Blob([new Uint8Array(10 * 1024 * 1024 + 1)]) }],
    ['has no photograph', 400, { email: 'ada@example.com' }],
    ['names a photograph that does not ship', 400, { email: 'ada@example.com', sample: '../app.js' }],
    ['has no address', 400, { sample: 'lake-at-dusk.jpg' }],
    ['has a list as its address', 400, { 'email[]': 'ada@example.com', sample: 'lake-at-dusk.jpg' }],
    ['has an object as its address', 400, { 'email[toString]': 'ada@example.com', sample: 'lake-at-dusk.jpg' }],
    [
      'has an address that is none',
      400,
      { email: 'ada@example.com\nBcc: all@example.com', sample: 'lake-at-dusk.jpg' },
    ],
  ])('because it %s, answers with %i and adds no task', async (_why, status, fields) => {
    const { added } = await json<{ added: number }>('/stats');
    const response = await upload(fields as Record<string, string | Blob>);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: expect.any(String) });
    expect(await json('/stats')).toMatchObject({ added });
  });

  it.each([
    ['boundary', 'multipart/form-data', 'photo'],
    ['part', 'multipart/form-data; boundary=x', '--x\r\nphoto\r\n--x--\r\n'],
    ['end', 'multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nada'],
  ])('because its form has no readable %s, takes that for a mistake of the client', async (_what, type, body) => {
    const before = example.output();
    const headers = { 'Content-Type': type };
    const response = await fetch(`${example.url}/uploads`, { method: 'POST', headers, body });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: expect.any(String) });
    expect(example.output()).toBe(before);
  });
});

describe('while 20 thumbnails are made', () => {
  it(
    'answers other requests: no ping waits for the thumbnails',
    async () => {
      const idle = await pingUntil(example.url, work(1_000));

      const startedAt = performance.now();
      const batch = fetch(`${example.url}/thumbnails`, { method: 'POST' })
        .then((response) => response.json() as Promise<Accepted>)
        .then(({ tasks }) => events.settled(tasks));
      const busy = await pingUntil(example.url, batch);
      const batchMs = performance.now() - startedAt;

      const outcomes = await batch;
      expect(outcomes.map(({ executor, state }) => `${executor}: ${state}`)).toEqual(
        Array.from({ length: 20 }, () => 'thread: completed'),
      );
      process.stdout.write(
        `ping of the example application: idle ${figures(idle)}; while 20 thumbnails are made in ${batchMs.toFixed(0)} ms ${figures(busy)}\n`,
      );
      expect(busy.length).toBeGreaterThan(20);
      // On the event loop each would hold up what arrives while it is made: half of that for more than half of its time.
      const thumbnailMs = Math.min(...outcomes.map(({ ranMs = Number.NaN }) => ranMs));
      expect(percentile(busy, 90)).toBeLessThan(percentile(idle, 90) + thumbnailMs / 2);
    },
    PATIENCE,
  );
});

describe('while 20 thumbnails are made on the event loop instead', () => {
  it(
    'makes other requests wait, and reports the task and the line that blocks: to the page and in the log',
    async () => {
      const batch = fetch(`${example.url}/thumbnails?executor=event-loop`, { method: 'POST' })
        .then((response) => response.json() as Promise<Accepted>)
        .then(({ tasks }) => events.settled(tasks));
      const pings = await pingUntil(example.url, batch);
      expect((await batch).map(({ executor, state }) => `${executor}: ${state}`)).toEqual(
        Array.from({ length: 20 }, () => 'event-loop: completed'),
      );

      const { blockedMs = Number.NaN, stack = [] } = await events.first(
        ({ type, task, stack = [] }) => type === 'blocked' && task?.name === 'thumbnail' && stack.length > 0,
      );
      expect(stack.map((frame) => frame.file)).toContain(join('examples', 'app', 'tasks', 'palette.js'));
      expect(stack.map((frame) => frame.function)).toContain('paletteOf');
      process.stdout.write(`and while 20 are made on the event loop ${figures(pings)}\n`);
      expect(Math.max(...pings)).toBeGreaterThan(blockedMs / 2);
      expect(example.output()).toMatch(/ warn: Task thumbnail blocked the event loop for \d+ ms/);
      expect(await json('/stats')).toMatchObject({ blocked: { byTask: { thumbnail: { times: expect.any(Number) } } } });
    },
    PATIENCE,
  );
});

describe('a durable task on the page', () => {
  it('has started when it runs, and not while it is held or waits', async () => {
    const follow = `
      import { createFollower } from './examples/app/follow.js';
      const states = ['held', 'waiting', 'running', 'completed'];
      const find = async (id) => ({ id, name: 'images.thumbnail', state: states.shift(), attempts: 1 });
      const keptAlive = setInterval(() => {}, 1_000);
      const send = (event, { state }) => {
        console.log(event, state);
        if (event === 'settled') clearInterval(keptAlive);
      };
      createFollower({ find }, send)('a');`;
    const { stdout } = await runNode(['--input-type=module', '--eval', follow], root);
    expect(stdout).toBe('started running\nsettled completed\n');
  });
});

describe('when the application gets SIGTERM', () => {
  let ending: Example | undefined;

  afterEach(async () => {
    await ending?.stop();
    ending?.clear();
  });

  it(
    'finishes what it has accepted, says so, and exits with 0, without waiting for the pages that listen to its events',
    async () => {
      ending = await startExample();
      const { url, folder } = ending;
      const page = await listenTo(url);
      const accepted = await Promise.all([1, 2].map(() => uploadPhoto(photo, url)));
      const code = await ending.stop();

      expect(ending.output()).toMatch(
        /SIGTERM: no more requests.*\nTasks at the end: \d+ completed, 0 failed, 0 abandoned\n$/s,
      );
      expect(ending.output()).not.toContain('Cutting off');
      expect(code).toBe(0);
      page.close();
      const ids = accepted.map(({ id }) => id).sort();
      expect(readdirSync(join(folder, 'thumbnails')).sort()).toEqual(ids.map((id) => `${id}.webp`));
      expect(auditLines(ending).map((line) => line['requestId'])).toEqual(expect.arrayContaining(ids));
      const db = new ClassicLevel(join(folder, 'records'));
      expect((await db.keys().all()).sort()).toEqual(ids);
      await db.close();
    },
    PATIENCE,
  );

  it(
    'treats a signal that comes twice as one, as it does where npm passes on what the terminal sends to both',
    async () => {
      ending = await startExample();
      const { url, output } = ending;
      // Enough to be still at work when the second signal comes.
      await Promise.all([1, 2, 3, 4].map(() => uploadPhoto(photo, url)));
      const stopped = ending.stop();
      await untilHolds(() => output().includes('no more requests'));
      ending.stop();
      expect(await stopped).toBe(0);
      expect(output()).toMatch(/Tasks at the end: \d+ completed, 0 failed/);
    },
    PATIENCE,
  );
});

function auditLines({ folder }: Example): Record<string, unknown>[] {
  return readFileSync(join(folder, 'audit.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

function figures(pings: readonly number[]): string {
  const at = (percent: number): string => percentile(pings, percent).toFixed(1);
  return `p50 ${at(50)} ms, p90 ${at(90)} ms, p99 ${at(99)} ms (${pings.length} pings)`;
}
