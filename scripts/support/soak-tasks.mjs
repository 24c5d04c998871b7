// What the soak runs, in whatever executor. soak-plan.mjs says which task is for which executor.
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { currentTask } from 'express-background-tasks';

export const succeed = (value) => ({ value, bytes: Buffer.alloc(256, value) });
export const rest = (value) => delay(value * 10);
export function compute(value) {
  const end = performance.now() + value;
  while (performance.now() < end);
  return value;
}
export const fail = () => {
  throw Object.assign(new Error('as asked'), { code: 'EASKED' });
};
export const throwNull = () => {
  throw null;
};
export function failAtFirst() {
  if (currentTask().attempt === 1) fail();
}
export const heed = () => delay(60_000, undefined, { signal: currentTask().signal });
export const neverSettle = () => new Promise(() => {});
export const returnAFunction = () => () => {};
export const leaveAThrow = async () => 'nothing is thrown on the event loop: it would end the server';
export const leaveAThrowingTimer = () => {
  setTimeout(() => fail(), 10);
};
export const loop = () => {
  for (;;);
};
export const exit = () => process.exit(1);
export const exitAtFirst = () => {
  if (currentTask().attempt === 1) process.exit(1);
};
export function fillHeap() {
  const kept = [];
  for (;;) kept.push(new Array(100_000).fill(kept.length + 0.5));
}
export function abort() {
  // Silences what Node prints when it aborts.
  closeSync(2);
  openSync(devNull, 'w');
  process.abort();
}
export async function kill() {
  process.kill(process.pid, 'SIGKILL');
  await delay(60_000);
}
export function ignoreTheEnd() {
  process.on('SIGTERM', () => {});
  loop();
}
