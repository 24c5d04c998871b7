/** What an operator reads if the application gives no logger. */
import { describe, expect, it } from '@jest/globals';
import { runScriptAndListen } from './support/scripts.ts';

interface Failure {
  readonly id: string;
  readonly waitedMs: number;
  readonly ranMs: number;
  readonly stack?: string;
}

/** A line: when, how bad, what a person looks for, what a machine looks for. */
const LINE = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) error: (Task \w+ failed: [^{]*) (\{.*\})$/;

describe('without a logger of its own, an application has one line on standard error for each task that failed', () => {
  it('with all that is known of it as JSON, whatever its error carries', async () => {
    const { stdout, stderr } = await runScriptAndListen('script-default-logger.mjs');
    const failures = JSON.parse(stdout) as Failure[];
    const lines = stderr
      .trimEnd()
      .split('\n')
      .slice(0, -2)
      .map((line) => LINE.exec(line)?.slice(2))
      .map((parts) => parts && { message: parts[0], fields: JSON.parse(parts[1] as string) as unknown });
    const names: [string, unknown][] = [
      ['text', 'E_TEXT'],
      ['number', 7],
      ['bigInt', '10n'],
      ['circle', '<ref *1> { self: [Circular *1] }'],
      ['symbol', 'Symbol(code)'],
      ['trap', '{ toJSON: [Function: toJSON] }'],
    ];
    expect(lines).toEqual([
      ...names.map(([name, code], index) => ({
        message: `Task ${name} failed: with ${name}`,
        fields: {
          ...fieldsOf(name, failures[index] as Failure),
          error: {
            name: 'RangeError',
            message: `with ${name}`,
            code,
            stack: failures[index]?.stack,
            cause: { name: 'Error', message: 'why', code, stack: expect.stringContaining('script-default-logger.mjs') },
          },
        },
      })),
      {
        message: 'Task stack failed: with a stack',
        fields: {
          ...fieldsOf('stack', failures[names.length] as Failure),
          error: { name: 'Error', message: 'with a stack' },
        },
      },
    ]);
  });
});

describe('the levels', () => {
  it('are told apart by stream: failures and warnings go to standard error, the rest to standard output', async () => {
    const { stdout, stderr } = await runScriptAndListen('script-default-logger-levels.mjs');
    expect(stderr).toMatch(/^\S+ warn: Task mail failed, and is tried again in \d ms: busy .*\n$/);
    expect(stdout).toMatch(/^\S+ info: Task report was cancelled\. .*\n$/);
  });
});

describe('a message that has come with a request', () => {
  it('stays on its line, moves no cursor, and is shown in the order in which it is written', async () => {
    const { stderr } = await runScriptAndListen('script-default-logger.mjs');
    const last = stderr.trimEnd().split('\n').at(-1);
    expect(last).toContain(
      String.raw`Task a\rb failed: it ends\n2026-01-01T00:00:00.000Z error: forged\u2028\u001b[2K\u009b2K\u202e {`,
    );
    expect(last).not.toMatch(/[^ -~]/);
  });

  it('takes no field off its line by what is a place to fill for printf', async () => {
    const { stderr } = await runScriptAndListen('script-default-logger.mjs');
    const lines = stderr.trimEnd().split('\n');
    const [, message, fields] = /error: (Task places failed: .*?) (\{.*)$/.exec(lines.at(-2) ?? '') ?? [];
    expect(message).toBe('Task places failed: 100%d of /caf%c3%a9 %s %% %j');
    expect(JSON.parse(fields ?? '')).toMatchObject({
      task: 'places',
      id: expect.any(String),
      error: { stack: expect.any(String) },
    });
  });
});

function fieldsOf(task: string, { id, waitedMs, ranMs }: Failure): Record<string, unknown> {
  return { task, id, executor: 'event-loop', attempt: 1, waitedMs: Math.round(waitedMs), ranMs: Math.round(ranMs) };
}
