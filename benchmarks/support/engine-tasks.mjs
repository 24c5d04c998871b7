// The registry of the engine benchmarks: tasks run on the worker's event loop, as the libraries themselves run a job.
import { durable } from 'express-background-tasks';

export const tasks = durable('bench', new URL('../tasks/note.mjs', import.meta.url), { executor: 'event-loop' });
