/** What the loggers that many applications have already write of a task that fails. */
import { Writable } from 'node:stream';
import { expect, it } from '@jest/globals';
import { backgroundTasks, type Logger } from 'express-background-tasks';
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
