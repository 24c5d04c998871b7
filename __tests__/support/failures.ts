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

/** An error one of whose properties can be read this often, and throws after that. */
export function readableError(property: string, times: number): Error {
  let reads = 0;
  const get = (): undefined => {
    reads += 1;
    if (reads > times) throw new Error('read before');
  };
  return Object.defineProperty(new Error('once'), property, { get });
}
