import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { browserIsInstalled, startBrowser } from './support/browser.ts';
import { type Example, startExample } from './support/example-app.ts';

const PATIENCE = 60_000;

/** The states that the thumbnail's row has shown, however briefly: polling on a busy machine might miss one. */
const RECORD_STATES = `
  window.thumbnailStates = [];
  new MutationObserver(() => {
    const state = document.querySelector('.row[data-task="thumbnail"]')?.dataset.state;
    if (state !== window.thumbnailStates.at(-1)) window.thumbnailStates.push(state);
  }).observe(document.getElementById('rows'), { subtree: true, childList: true, attributes: true });
`;

/** What the page shows of an upload, in the order in which it appears: a list for each time that something does. */
const RECORD_RESULT = `
  window.shownTogether = [];
  new MutationObserver((changes) => {
    const shown = [];
    if (changes.some(({ target }) => target.id === 'response-time')) shown.push('response');
    for (const task of ['thumbnail', 'mail']) {
      const isHere = document.querySelector('#' + task + ' .slot.here') !== null;
      if (isHere && !shownTogether.flat().includes(task)) shown.push(task);
    }
    if (shown.length > 0 && (shownTogether.length > 0 || shown[0] === 'response')) shownTogether.push(shown);
  }).observe(document.getElementById('result'), { subtree: true, childList: true, attributes: true });
`;

/** The page itself checks, now and then: constant queries would take the core from what is observed. */
const UNTIL_COMPLETED = `new Promise((resolve) => {
  const look = () => {
    if (thumbnailStates.includes('waiting') && thumbnailStates.at(-1) === 'completed') resolve();
    else setTimeout(look, 50);
  };
  look();
})`;

const describePage = browserIsInstalled ? describe : describe.skip;

describePage("the example application's page", () => {
  let example: Example;
  let browser: Browser;
  // One page for all tests, as a person would use it: each sends a photograph of its own.
  let page: Page;
  const problems: string[] = [];
  const strangers: string[] = [];

  beforeAll(async () => {
    [example, browser] = await Promise.all([startExample(), startBrowser()]);
    page = await browser.newPage({ viewport: { width: 1200, height: 900 }, reducedMotion: 'reduce' });
    page.setDefaultTimeout(PATIENCE);
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => {
      if (!request.url().startsWith(example.url)) strangers.push(request.url());
    });
    await page.goto(example.url);
    await page.locator('#samples img').first().waitFor();
    await page.locator('#connection.on').waitFor();
  }, PATIENCE);

  afterAll(async () => {
    await browser?.close();
    await example?.stop();
    example?.clear();
  }, PATIENCE);

  const send = () => page.getByRole('button', { name: 'Send' }).click();
  const row = (task: string, state: string) => page.locator(`.row[data-task="${task}"][data-state="${state}"]`);

  it(
    'shows thumbnail, mail, audit line and record, each with the time it waited and ran and where',
    async () => {
      await page.getByLabel('welcome mail to').fill('grace@example.com');
      await send();

      for (const [task, place] of [
        ['thumbnail', 'thread'],
        ['mail', 'event loop'],
        ['audit', 'event loop'],
        ['record', 'event loop'],
      ] as const) {
        await row(task, 'completed').waitFor();
        expect(await row(task, 'completed').textContent()).toMatch(
          new RegExp(`${place}\\s*waited [\\d.]+\\sm?s, ran [\\d.]+\\sm?s`),
        );
        await page.locator(`#${task} .slot.here`).waitFor();
      }
      const image = page.locator('#thumbnail img');
      await image.evaluate((element: { decode(): Promise<void> }) => element.decode());
      expect(await image.evaluate((element: { naturalWidth: number }) => element.naturalWidth)).toBe(320);
      expect(await page.locator('#mail').textContent()).toMatch(/grace@example\.com.*has arrived/s);
      expect(await page.locator('#audit').textContent()).toContain('"action":"photo.uploaded"');
      expect(await page.locator('#record').textContent()).toContain('"email": "grace@example.com"');
    },
    PATIENCE,
  );

  it(
    'shows the response at once while 20 thumbnails are made, then what its tasks have made as it arrives, and their ping beside that of the idle server',
    async () => {
      await page.evaluate(RECORD_STATES);
      await page.evaluate(RECORD_RESULT);
      const accepted = page.waitForResponse((response) => response.url().endsWith('/thumbnails'));
      await page.getByRole('button', { name: 'Make 20 thumbnails' }).click();
      await accepted;
      await send();
      // The others are in front of it; the row of the upload before may still be there for a moment.
      await page.evaluate(UNTIL_COMPLETED);
      await page.locator('#mail .slot.here').waitFor();
      const shown = (await page.evaluate('shownTogether')) as string[][];
      // The mail may have come before the page has read the response; the thumbnail waits for 20 others.
      expect(shown.flat()).toEqual(['response', 'mail', 'thumbnail']);
      expect(shown.at(-1)).toEqual(['thumbnail']);
      expect(await page.locator('#response-time').textContent()).toMatch(/^\d+(\.\d)?\sm?s$/);
      expect(await page.locator('#response-text').textContent()).toContain('202');

      await page.getByText('20 thumbnails in').waitFor();
      for (const id of ['idle', 'busy']) {
        const [p50, p99, longest, pings] = (await page.locator(`#${id} td`).allTextContents()).map(Number);
        expect(p50).toBeGreaterThan(0);
        expect(p99).toBeGreaterThanOrEqual(p50 as number);
        expect(longest).toBeGreaterThanOrEqual(p99 as number);
        expect(pings).toBeGreaterThan(20);
        expect(await page.locator(`#chart circle.${id}`).count()).toBe(pings);
      }
      expect(await page.locator('#batch-note').textContent()).toContain('They ran in: thread.');
    },
    PATIENCE,
  );

  it(
    'shows what the same costs on the event loop, beside the figures of the threads, and what the watchdog says of it',
    async () => {
      const figuresOf = (id: string) => page.locator(`#${id} td`).allTextContents();
      const inThreads = await figuresOf('busy');
      await page.getByLabel('run this on the event loop instead').check();
      await page.getByRole('button', { name: 'Make 20 thumbnails' }).click();
      await page.getByText('They ran in: event loop.').waitFor();

      expect(await figuresOf('busy')).toEqual(inThreads);
      const [idle, blocked] = [await figuresOf('idle'), await figuresOf('blocked')].map((cells) => cells.map(Number));
      expect(blocked?.[2]).toBeGreaterThan(idle?.[2] as number);
      expect(await page.locator('#chart circle.blocked').count()).toBeGreaterThan(20);

      const report = page.locator('#watchdog li', { hasText: 'palette.js' }).first();
      expect(await report.textContent()).toMatch(
        /^task thumbnail for [\d.]+\sm?s; \d+ requests? waited in the server.*at paletteOf \(examples\/app\/tasks\/palette\.js:\d+\)/s,
      );
      await page.getByLabel('run this on the event loop instead').uncheck();
    },
    PATIENCE,
  );

  it(
    'shows the failed task of a file that is no image',
    async () => {
      await page
        .getByLabel('or a file of yours')
        .setInputFiles({ name: 'letter.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('Dear Ada') });
      await send();
      await row('thumbnail', 'failed').waitFor();
      expect(await page.locator('#thumbnail').textContent()).toContain('failed: Input buffer');
      await row('mail', 'completed').waitFor();
    },
    PATIENCE,
  );

  it(
    'sends the sample that was chosen before a file, once it is chosen again',
    async () => {
      const sample = page.locator('#samples label').first();
      await sample.click();
      await page
        .getByLabel('or a file of yours')
        .setInputFiles({ name: 'letter.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('Dear Ada') });
      await sample.click();
      await send();
      await page.locator('#response-text', { hasText: (await sample.getAttribute('title')) as string }).waitFor();
    },
    PATIENCE,
  );

  it(
    'fits a narrow window, though the name of the file is long and has no place to break',
    async () => {
      const name = `${'a'.repeat(200)}.jpg`;
      await page
        .getByLabel('or a file of yours')
        .setInputFiles({ name, mimeType: 'image/jpeg', buffer: Buffer.from('Dear Ada') });
      await send();
      await page.locator('#response-text', { hasText: name }).waitFor();
      await page.locator('#mail .slot.here', { hasText: name }).waitFor();
      await page.setViewportSize({ width: 360, height: 740 });
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
    },
    PATIENCE,
  );

  it(
    'keeps measuring the ping',
    async () => {
      await page.waitForFunction('/^[\\d.]+\\sm?s$/.test(document.querySelector("#ping").textContent)');
    },
    PATIENCE,
  );

  it('has logged no error so far, and sent requests only to the application', () => {
    expect(problems).toEqual([]);
    expect(strangers).toEqual([]);
  });

  it(
    'says why an upload was refused',
    async () => {
      await page.getByLabel('welcome mail to').fill('nobody');
      await send();
      await page.getByRole('alert').waitFor();
      expect(await page.getByRole('alert').textContent()).toBe('An e-mail address is needed.');
    },
    PATIENCE,
  );
});
