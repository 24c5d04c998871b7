/** A Chromium of this machine, for the tests of the example's page. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const BROWSERS = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executablePath = BROWSERS.find((path) => path !== '' && existsSync(path));
if (executablePath === undefined) {
  process.stdout.write(
    'The page of the example application is NOT tested: no Chromium was found. Install it (apt-get install chromium), or name it in CHROMIUM.\n',
  );
}

export const browserIsInstalled: boolean = executablePath !== undefined;

/** To be closed by the caller. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath as string, args: FLAGS });
}
