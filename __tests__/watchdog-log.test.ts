/** How blocks are reported: in the log, on the channel, and to which instances not. In a file of its own, since each file has its own budget for stacks. */
import { describe, expect, it, jest } from '@jest/globals';
import type { BackgroundTasksOptions } from 'express-background-tasks';
import { spin } from './fixtures/watchdog-work.ts';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { type LogLine, openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { keepWatching, listenTo, type Watched, watch } from './support/watched.ts';

// On a slow machine a sample costs more, and it takes longer until the budget allows the next one.
jest.setTimeout(90_000);
expectNoProcessFaults();
keepWatching();

describe('the log', () => {
  const linesOf = (lines: readonly LogLine[], level: string): string[] =>
    lines.filter((line) => line.level === level && line.message.includes('block')).map(({ message }) => message);

  async function blockedTwice(): Promise<Watched & { lines: readonly LogLine[] }> {
    const { logger, lines } = openLogBook();
    const watched = watch({ logger });
    const { background, blocks } = watched;
    await background.add(() => {}).settled;
    for (const _time of ['first', 'second']) {
      const before = blocks.tasks.length;
      background.add(function sendReport() {
        spin(200);
      });
      await blocks.until(() => blocks.tasks.length > before);
    }
    // The watchdog's thread takes some time to start, and a busy machine may give it a core too late for a sample.
    if (blocks.events[0]?.stack.length === 0) return blockedTwice();
    return { ...watched, lines };
  }

  it('has one line for a task that blocks again and again; events, numbers and the summary have all', async () => {
    const { lines, background, blocks } = await blockedTwice();
    expect(blocks.tasks).toEqual(['sendReport', 'sendReport']);
    const warnings = linesOf(lines, 'warn').filter((message) => message.includes('sendReport'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /^Task sendReport blocked the event loop for \d+ ms, at spin \(__tests__\/fixtures\/watchdog-work\.ts:\d+\); move it to a module and call it through blocking\(\), see docs\/watchdog\.md/,
    );

    const ofTask = blocks.events.filter(({ task }) => task?.name === 'sendReport').map(({ blockedMs }) => blockedMs);
    const tally = {
      times: 2,
      totalMs: (ofTask[0] as number) + (ofTask[1] as number),
      longestMs: Math.max(...ofTask),
    };
    const { blocked } = background.stats();
    expect(blocked.byTask).toEqual({ sendReport: tally });
    expect(blocked.byCause.task).toEqual(tally);
    expect(blocked.all.times).toBe(blocks.events.length);

    await background.close();
    const summary = linesOf(lines, 'info').filter((message) => message.startsWith('The event loop was blocked'));
    expect(summary).toHaveLength(1);
    expect(summary[0]).toMatch(/: task sendReport 2 times for \d+ ms in all, \d+ ms at most, at spin \(.*:\d+\)$/);
  });

  it('has one line for each of two tasks', async () => {
    const { logger, lines } = openLogBook();
    const { background, blocks } = watch({ logger });
    for (const name of ['first', 'second']) {
      background.with({ name }).add(() => spin(200));
      await blocks.ofTask(name);
    }
    expect(linesOf(lines, 'warn').filter((message) => /^Task (first|second) blocked/.test(message))).toHaveLength(2);
  });

  it('has no summary where nothing has blocked', async () => {
    const { logger, lines } = openLogBook();
    const { background, blocks } = watch({ logger, watchdog: { threshold: 10_000 } });
    await background.add(() => {}).settled;
    await background.close();
    expect(blocks.events).toEqual([]);
    expect(linesOf(lines, 'info').filter((message) => message.startsWith('The event loop'))).toEqual([]);
  });

  it('has the block of the last task that close() waits for, in a line and in the summary', async () => {
    const { logger, lines } = openLogBook();
    const { background } = watch({ logger });
    background.add(async () => {
      await new Promise(setImmediate);
      background.with({ name: 'last' }).add(() => spin(200));
    });
    await background.close();
    expect(background.stats().blocked.byTask).toMatchObject({ last: { times: 1 } });
    expect(linesOf(lines, 'warn').filter((message) => message.startsWith('Task last blocked'))).toHaveLength(1);
    const summary = linesOf(lines, 'info').filter((message) => message.startsWith('The event loop was blocked'));
    expect(summary).toEqual([expect.stringMatching(/: task last once for \d+ ms/)]);
  });

  it('does not warn of load: there is no single piece of code to change', async () => {
    const { logger, lines } = openLogBook();
    const { background, blocks } = watch({ logger, order: 'parallel' });
    for (let count = 0; count < 300; count += 1) background.add(() => spin(1));
    await blocks.until(({ cause }) => cause === 'load');
    expect(linesOf(lines, 'debug').some((message) => message.startsWith('Many short pieces of work'))).toBe(true);
    expect(linesOf(lines, 'warn').filter((message) => /^(Task|Many short)/.test(message))).toEqual([]);
  });
});

describe('the diagnostics channel', () => {
  it('carries what the listeners are given', async () => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
    const published: unknown[] = [];
    const subscriber = (message: unknown): void => {
      published.push(message);
    };
    subscribe('express-background-tasks:blocked', subscriber);
    atEnd(() => unsubscribe('express-background-tasks:blocked', subscriber));
    const { background, blocks } = watch();
    background.with({ name: 'published' }).add(() => spin(200));
    const event = await blocks.ofTask('published');
    expect(published).toContain(event);
  });
});

describe('an instance that is not watched', () => {
  it.each<[string, BackgroundTasksOptions]>([
    ['says nothing of it while jest has set NODE_ENV to test', {}],
    ['has its watchdog off', { watchdog: false }],
    ['does not run tasks by itself', { watchdog: true, mode: 'inline' }],
  ])('because it %s gets no events', async (_why, { watchdog, ...options }) => {
    const watched = watch();
    const background = makeBackground({ ...options, ...(watchdog === undefined ? {} : { watchdog }) });
    const blocks = listenTo(background);
    await Promise.all([watched.background.add(() => {}).settled, background.add(() => {}).settled]);
    setTimeout(() => spin(200), 1);
    await watched.blocks.until(({ cause }) => cause === 'other');
    expect(blocks.events).toEqual([]);
    expect(background.stats().blocked).toMatchObject({ all: { times: 0 }, byTask: {} });
  });

  it('because it was closed gets no further events', async () => {
    const [closed, watched] = [watch(), watch()];
    await Promise.all([closed, watched].map(({ background }) => background.add(() => {}).settled));
    await closed.background.close();
    const before = closed.blocks.events.length;
    setTimeout(() => spin(200), 1);
    await watched.blocks.until(({ cause }) => cause === 'other');
    expect(closed.blocks.events).toHaveLength(before);
  });
});
