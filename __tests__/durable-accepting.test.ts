/** `accepted`: when the engine has a task, and what a handler is told where it has not. */
import { describe, expect, it } from '@jest/globals';
import { BackgroundTaskError, type TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { durableApp, tasks } from './support/durable-app.ts';
import { FAILED_CALL } from './support/engine-faults.ts';
import { makeGate } from './support/gates.ts';
import { codeOf } from './support/outcomes.ts';
import { errorAnswering } from './support/servers.ts';

describe('`accepted`', () => {
  it.each(errorAnswering)('rejects with what $name answers with 503, if the engine refuses', async (framework) => {
    let added!: TaskHandle;
    const app = await durableApp(
      (_req, res, next) => {
        added = res.locals.backgroundTasks.add(tasks.echo, 1);
        added.accepted.then(() => res.end(), next);
      },
      { framework, faults: { stage: FAILED_CALL } },
    );
    const answer = await app.request();
    expect(answer.status).toBe(503);
    const outcome = await added.settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 0 });
    expect(outcome.error).toBeInstanceOf(BackgroundTaskError);
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_ENGINE', status: 503, expose: false });
    expect(outcome.error?.message).toBe(
      'Task tasks.echo was not accepted. Expected memory to accept tasks: connection refused',
    );
    await expect(added.accepted).rejects.toBe(outcome.error);
  });

  it('rejects in bounded time if the engine does not answer, and a task that it accepts too late is withdrawn', async () => {
    const lateAnswer = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        const { accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        await accepted.catch((error: BackgroundTaskError) => res.writeHead(error.status as number));
        res.end();
      },
      {
        durable: { acceptTimeout: 30 },
        faults: { stage: (proceed) => lateAnswer.opened.then(proceed) },
      },
    );
    expect((await app.request()).status).toBe(503);
    const [[id]] = app.calls('stage') as [[string]];
    lateAnswer.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.log.lines.map(({ code }) => code)).toEqual(['ERR_BACKGROUND_ENGINE', undefined]);
  });

  it.each<[string, (mayFail: Promise<void>) => Promise<void>]>([
    ['is lost', async () => {}],
    ['is lost after nobody waits for it any more', (mayFail) => mayFail],
  ])('rejects if the answer %s, and the task that the engine has nevertheless is withdrawn', async (_when, wait) => {
    const mayFail = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        const { id, accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        await accepted.catch((error: BackgroundTaskError) => res.writeHead(error.status as number));
        res.end(id);
      },
      {
        durable: { acceptTimeout: 100 },
        faults: {
          async stage(proceed) {
            await wait(mayFail.opened);
            await proceed();
            throw new Error('connection lost');
          },
        },
      },
    );
    const { status, body: id } = await app.request();
    expect(status).toBe(503);
    mayFail.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
    expect(await app.find(id)).toBeUndefined();
  });

  it('that has rejected before its task could be sent stays true: the engine is not asked to take it any more', async () => {
    const answers = makeGate();
    // Each is too large to share a call with another: the last of them would be the fifth.
    const large = 'x'.repeat(2 ** 20);
    const app = await durableApp(() => {}, {
      durable: { acceptTimeout: 200, maxArgumentsSize: 2 * large.length },
      faults: { stage: (proceed) => answers.opened.then(proceed) },
    });
    const handles = Array.from({ length: 5 }, () => app.background.add(tasks.echo, large));
    const last = handles.at(-1) as TaskHandle;
    for (const { accepted } of handles) await expect(accepted).rejects.toThrow('no answer within 200 ms');
    answers.open();
    // It waits behind all that is sent before it.
    await app.background.add(tasks.echo).accepted.catch(() => {});
    expect(app.calls('stage').flat()).not.toContain(last.id);
    expect(await app.find(last.id)).toBeUndefined();
  });

  it('rejects with the refusal of the engine itself, which nobody is told to try again, and there is nothing to take back', async () => {
    const app = await durableApp(
      async (_req, res) => {
        const { accepted, settled } = res.locals.backgroundTasks.add(tasks.echo, 1);
        const error: unknown = await accepted.catch((thrown: unknown) => thrown);
        const outcome = await settled;
        res.end(JSON.stringify([error, (error as Error).message, error === outcome.error]));
      },
      { faults: { stage: () => Promise.reject(new BackgroundTaskError('ERR_BACKGROUND_OPTION', 'not like this')) } },
    );
    const [error, message, isThatOfItsOutcome] = JSON.parse((await app.request()).body) as unknown[];
    expect({ error, message, isThatOfItsOutcome }).toEqual({
      error: expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION' }),
      message: 'not like this',
      isThatOfItsOutcome: true,
    });
    expect(error).not.toHaveProperty('status', 503);
    await app.background.close();
    expect(app.calls('discard')).toEqual([]);
  });

  it('may be ignored: the failure is in the outcome and in the log, and no rejection is left unhandled', async () => {
    const handles: TaskHandle[] = [];
    const app = await durableApp(
      (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(tasks.echo, 1));
        res.end();
      },
      { faults: { stage: FAILED_CALL } },
    );
    expect((await app.request()).status).toBe(200);
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes.map((outcome) => [outcome.state, codeOf(outcome)])).toEqual([['failed', 'ERR_BACKGROUND_ENGINE']]);
    expect(app.log.withCode('ERR_BACKGROUND_ENGINE')).toMatchObject([{ level: 'error', task: 'tasks.echo' }]);
    expect(app.background.stats()).toMatchObject({ added: 1, settled: 1, waiting: 0 });
  });

  it('waits for an engine that is not up yet, within its time limit', async () => {
    let mayStart = false;
    const app = await durableApp(
      async (_req, res) => {
        const { accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        res.end(await accepted.then(String, (error: Error) => error.message));
      },
      {
        durable: { acceptTimeout: 400 },
        faults: { start: (proceed) => (mayStart ? proceed() : Promise.reject(new Error('nobody is at home'))) },
      },
    );
    expect((await app.request()).body).toMatch(/^Task tasks\.echo was not accepted\..*nobody is at home$/);
    mayStart = true;
    await app.background.ready();
    expect((await app.request()).body).toBe('undefined');
    // However often it was tried, the reason was logged once.
    expect(app.log.lines.filter(({ message }) => message === 'The engine memory: nobody is at home')).toHaveLength(1);
  });

  it('says why no address of an engine answers, though the error of all of them together says nothing', async () => {
    const refused = [new Error('connect ECONNREFUSED ::1:5432'), new Error('connect ECONNREFUSED 127.0.0.1:5432')];
    // As Node's is for localhost.
    const fault = () => Promise.reject(Object.assign(new AggregateError(refused, ''), { code: 'ECONNREFUSED' }));
    const app = await durableApp(() => {}, { durable: { acceptTimeout: 100 }, faults: { start: fault } });
    const said = 'connect ECONNREFUSED ::1:5432, connect ECONNREFUSED 127.0.0.1:5432';
    await expect(app.background.add(tasks.echo).accepted).rejects.toThrow(said);
    expect(app.log.lines.map(({ message }) => message)).toContain(`The engine memory: ${said}`);
  });

  it('is resolved for tasks that are not durable', async () => {
    const background = makeBackground();
    await expect(background.add(() => 1).accepted).resolves.toBeUndefined();
  });
});
