/** A task that fails, and the waits between its attempts. */
import type { BackgroundTasks } from 'express-background-tasks';

export function fail(): never {
  throw new Error('it failed');
}

/** The waits of an instance's tasks, each as it begins, in milliseconds. */
export function delaysOf(background: BackgroundTasks): readonly number[] {
  const delays: number[] = [];
  background.on('retrying', ({ delayMs }) => delays.push(delayMs));
  return delays;
}
