// The registry of the benchmarks of engines: on the worker's event loop, as the libraries by themselves run a job.
import { durable } from 'express-background-tasks';

export const tasks = durable('bench', new URL('../tasks/note.mjs', import.meta.url), { executor: 'event-loop' });
