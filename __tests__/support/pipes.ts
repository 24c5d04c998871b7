/** Named pipes: a reader waits within the system, where a thread cannot be ended. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { atEnd } from './cleanup.ts';

/** `release` lets the waiting reader go on. */
export function makePipe(): { readonly path: string; release(): void } {
  const path = join(mkdtempSync(join(tmpdir(), 'background-tasks-pipe-')), 'pipe');
  execFileSync('mkfifo', [path]);
  const release = (): void => closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  // A reader that still waits there keeps the test's process alive.
  atEnd(() => {
    release();
    rmSync(dirname(path), { recursive: true });
  });
  return { path, release };
}
