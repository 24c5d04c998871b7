/** How a worker starts, and what createWorker() refuses. */
import { describe, expect, it } from '@jest/globals';
import { createWorker, type WorkerOptions } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd } from './support/cleanup.ts';
// Registers modules that a worker loads at its start, as registered-tasks.ts does.
import './support/durable-app.ts';
import { openLogBook } from './support/log-book.ts';
import { optionNames } from './support/option-names.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import './support/registered-tasks.ts';

expectNoProcessFaults();

/** Other faults are looked for where there is an engine. */
function withEngine(options: unknown): unknown {
  return typeof options === 'object' && options !== null ? { engine: memoryEngine(), ...options } : options;
}

describe('`createWorker`', () => {
  it('waits for an engine that cannot be reached, and says so', async () => {
    const engine = memoryEngine();
    let attempts = 0;
    const { logger, lines } = openLogBook();
    const worker = await createWorker({
      logger,
      engine: engine.connect({
        async intercept(method, proceed) {
          if (method === 'start') attempts += 1;
          if (method === 'start' && attempts < 3) throw new Error('connection refused');
          return proceed();
        },
      }),
    });
    atEnd(() => worker.close({ timeout: 0 }));
    expect(attempts).toBe(3);
    expect(lines.map(({ message }) => message)).toContain('The engine memory: connection refused');
  });

  it("says why, once, where the names of a module's functions are too long a result for a worker to send", async () => {
    const limits = { maxResultSize: 10 };
    const { logger, lines } = openLogBook();
    const starting = createWorker({ engine: memoryEngine(), logger, pool: limits, processes: limits });
    await expect(starting).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_REGISTRY',
      message: expect.stringMatching(/^Expected the module registered as \w+ to load in a worker: .*`maxResultSize`/),
    });
    // Who has called it is told already.
    expect(lines).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ['no options', undefined, 'Expected `engine` of createWorker() to be given.'],
    ['options that are none', null, 'Expected the options of createWorker() to be an object, got null'],
    ['an engine that is none', { engine: 'redis' }, 'Expected `engine` of createWorker() to be an engine'],
    ['an option that there is not', { thread: 1 }, '`thread` is not an option of createWorker(). The options are '],
    ['a misspelt option', { concurency: 8 }, 'Did you mean `concurrency`?'],
    [
      'no concurrency',
      { concurrency: 0 },
      'Expected `concurrency` of createWorker() to be a safe integer of at least 1',
    ],
    [
      'a span that is none',
      { unknownFor: -1 },
      'Expected `unknownFor` of createWorker() to be a number of milliseconds',
    ],
    [
      'sizes that contradict',
      { pool: { minThreads: 3, maxThreads: 2 } },
      'Expected `pool.minThreads` of createWorker()',
    ],
    [
      'sizes of the process pool that contradict',
      { processes: { minProcesses: 3, maxProcesses: 2 } },
      'Expected `processes.minProcesses` of createWorker()',
    ],
  ])('refuses %s', async (_name, options, message) => {
    await expect(createWorker(withEngine(options) as WorkerOptions)).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it.each(['mode', 'order', 'when', 'timeout', 'retry', 'context', 'ambient', 'durable', 'work'])(
    'refuses what only says how tasks are added, since a worker adds none: %s',
    async (name) => {
      const refusal = createWorker(withEngine({ [name]: undefined }) as WorkerOptions);
      await expect(refusal).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_OPTION',
        message: `\`${name}\` is not an option of createWorker(). The options are ${optionNames.worker.join(', ')}.`,
      });
    },
  );
});
