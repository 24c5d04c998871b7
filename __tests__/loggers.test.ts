/** What the loggers that many applications have already write of a task that fails, and what a logger of one's own is given. */
import { Writable } from 'node:stream';
import { expect, it } from '@jest/globals';
import { type BackgroundTasksOptions, backgroundTasks, type Logger } from 'express-background-tasks';
import pino from 'pino';
import { createLogger, transports } from 'winston';

type Line = Readonly<Record<string, unknown>>;

/** Keeps what is written to it. Each of these loggers writes a line of JSON at a time. */
class Lines extends Writable {
  readonly written: Line[] = [];

  override _write(line: Buffer, _encoding: string, done: () => void): void {
    this.written.push(JSON.parse(String(line)) as Line);
    done();
  }
}

async function linesOfFailure(open: (lines: Lines) => Logger, message: string): Promise<readonly Line[]> {
  const lines = new Lines();
  const background = backgroundTasks({ logger: open(lines) });
  await background.with({ name: 'mail' }).add(() => Promise.reject(new Error(message))).settled;
  await background.with({ name: 'quiet' }).add(() => Promise.resolve()).settled;
  await background.close();
  return lines.written;
}

it.each<[string, string, (lines: Lines) => Logger]>([
  ['winston', 'message', (stream) => createLogger({ transports: [new transports.Stream({ stream })] })],
  ['pino', 'msg', (lines) => pino(lines)],
  ['a child of pino', 'msg', (lines) => pino(lines).child({ part: 'tasks' })],
])('%s has one line for it, with all fields', async (_logger, message, open) => {
  expect(await linesOfFailure(open, 'no such mailbox')).toEqual([
    expect.objectContaining({
      [message]: 'Task mail failed: no such mailbox',
      task: 'mail',
      attempt: 1,
      error: expect.objectContaining({ name: 'Error', message: 'no such mailbox' }),
    }),
  ]);
});

it('pino has the fields also where the message looks like a pattern', async () => {
  const [line] = await linesOfFailure((lines) => pino(lines), '100%d of %s %o');
  expect(line).toMatchObject({ msg: 'Task mail failed: 100%d of %s %o', task: 'mail' });
});

/** Every line but those of the level `debug`, as a logger of one's own is given it: level, message, fields. */
function recordingLines(options: BackgroundTasksOptions) {
  const lines: unknown[][] = [];
  const write =
    (level: keyof Logger) =>
    (...given: unknown[]) =>
      lines.push([level, ...given]);
  const logger = { error: write('error'), warn: write('warn'), info: write('info'), debug() {} };
  return { background: backgroundTasks({ logger, ...options }), lines };
}

it('the line of a failure that another attempt follows says after how long, and why', async () => {
  const { background, lines } = recordingLines({ retry: { attempts: 2, delay: 7, jitter: 0 } });
  const error = Object.assign(new Error('busy'), { code: 'EBUSY' });
  let attempts = 0;
  const { id } = background.with({ name: 'mail' }).add(() => {
    attempts += 1;
    if (attempts === 1) throw error;
  });
  await background.close();
  const [first] = lines;
  expect(first).toEqual([
    'warn',
    'Task mail failed, and is tried again in 7 ms: busy',
    {
      ...{ task: 'mail', id, executor: 'event-loop', attempt: 1, delayMs: 7 },
      ...{ waitedMs: expect.any(Number), ranMs: expect.any(Number) },
      error: { name: 'Error', message: 'busy', code: 'EBUSY', stack: error.stack },
    },
  ]);
});

it('the line of a task that the package has ended shows no stack, which would lead into the package', async () => {
  const { background, lines } = recordingLines({ timeout: 1 });
  await background.with({ name: 'mail' }).add(() => new Promise(() => {})).settled;
  await background.close({ timeout: 0 });
  const message = 'Task mail ran longer than its timeout of 1 ms.';
  expect(lines).toEqual([
    [
      'error',
      message,
      expect.objectContaining({ error: { name: 'BackgroundTaskError', message, code: 'ERR_BACKGROUND_TIMEOUT' } }),
    ],
  ]);
});

it('the lines of close() say what it waits for, and what became of that', async () => {
  const { background, lines } = recordingLines({ timeout: 60_000 });
  background.add(() => new Promise((resolve) => setImmediate(resolve)));
  background.add(() => new Promise((_resolve, reject) => setImmediate(reject, new Error('no'))));
  background.add(() => new Promise(() => {}));
  await background.close({ timeout: 500 });
  expect(lines.filter(([level]) => level === 'info')).toEqual([
    ['info', 'Closing: pending tasks 3, time limit 500 ms', { pending: 3, timeout: 500 }],
    ['info', 'Closed: tasks completed 1, failed 1, abandoned 1', { completed: 1, failed: 1, abandoned: 1 }],
  ]);
});

it('close() writes no line where there is nothing to wait for', async () => {
  const { background, lines } = recordingLines({});
  await background.close();
  expect(lines).toEqual([]);
});
