/** The program of a server that has to bear faults: run with the name of a contestant and a list of what they do. */
import { createRequire } from 'node:module';
// The one for `require` starts in half the time: it needs no thread.
import { register } from 'tsx/cjs/api';

register();
const require = createRequire(import.meta.url);
const { CONTESTANTS } = require('./contestants.ts');
const { FaultyServer } = require('./run-fault.ts');
const { FAULTS } = require('./table.ts');

const [name, whats, limit] = process.argv.slice(2);
const faults = JSON.parse(whats).map((what) => FAULTS.find((fault) => fault.what === what));
const [{ workers = 2, module = 'tasks.cjs' }] = faults;

const send = (message) => new Promise((resolve) => process.send(message, resolve));
const server = await FaultyServer.start(await CONTESTANTS[name]({ workers, module }), Number(limit));
// As servers do: Node makes its outputs only when they are first used.
console.log('listening');
console.error('listening');
await send('ready');
for (const fault of faults) await send(await server.commit(fault));
await server.close();
process.exit();
