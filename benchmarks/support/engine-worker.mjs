// A worker of a benchmark, in a process of its own: `ours`, or the library by hand.
import { createWorker } from 'express-background-tasks';
import { note } from '../tasks/note.mjs';
import { engineAt, rawAt } from './engine-kinds.mjs';
import './engine-tasks.mjs';

// Whoever started it is gone.
process.once('disconnect', () => process.exit());

const CONCURRENCY = 10;
const [side, url] = process.argv.slice(2);

if (side === 'ours') await createWorker({ engine: await engineAt(url), concurrency: CONCURRENCY, logger: false });
else await (await rawAt(url)).openWorker(url, note, CONCURRENCY);
process.send('ready');
