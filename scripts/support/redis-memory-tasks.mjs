// The tasks of scripts/redis-memory.mjs, and their registry.
import { durable } from 'express-background-tasks';

export const sizes = durable('sizes', new URL(import.meta.url), { executor: 'event-loop', retry: { attempts: 1 } });

export function succeed() {}

export function fail(number) {
  throw new Error(`no such order: ${number}`);
}
