/** What the watched thread can tell of Node's inspector without opening a session. */

import type Inspector from 'node:inspector';
import { isMainThread } from 'node:worker_threads';
import { requireHere } from '../package-files.ts';

/** Why no stacks can be read in this thread; `undefined` where they can. */
export function whyNoStacks(): string | undefined {
  if (!process.features.inspector) return 'this Node was built without an inspector';
  // Node 20 to 24 would die by an assertion in the watchdog's thread.
  const { permission } = process as { readonly permission?: { has(scope: string): boolean } };
  if (permission?.has('inspector') === false) return 'the permission model allows no inspector (--allow-inspector)';
  if (!isMainThread) return 'the inspector reaches only the main thread, and this server runs in a worker thread';
  return undefined;
}

/** Loaded once: jest ends a process that loads anything when a test file is over. */
let inspector: typeof Inspector | undefined;

/** The port on which a debugger may come; `0` while the inspector is not open. */
export function debuggerPort(): number {
  if (!process.features.inspector) return 0;
  inspector ??= requireHere('node:inspector') as typeof Inspector;
  const address = inspector.url();
  return address === undefined ? 0 : Number(new URL(address).port);
}
