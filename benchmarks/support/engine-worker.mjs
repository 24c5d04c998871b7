// A worker of a benchmark, in a process of its own: `ours`, or the library by hand.
import { createWorker } from 'express-background-tasks';
import { note } from '../tasks/note.mjs';
import { engineAt, rawAt } from './engine-kinds.mjs';
import './engine-tasks.mjs';
import { mainThreadCpu } from './main-thread.mjs';

// The parent process has ended.
process.once('disconnect', () => process.exit());
process.on('message', () => process.send({ cpu: mainThreadCpu() }));

const CONCURRENCY = 10;
const [side, place] = [process.argv[2], JSON.parse(process.argv[3])];

if (side === 'ours') await createWorker({ engine: await engineAt(place), concurrency: CONCURRENCY, logger: false });
else await (await rawAt(place)).openWorker(place, note, CONCURRENCY);
process.send('ready');
