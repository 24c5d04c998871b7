/** The program of a server that has to bear one fault: run with the name of a contestant and what a fault does. */
import { createRequire } from 'node:module';
// The one for `require` starts in half the time: it needs no thread.
import { register } from 'tsx/cjs/api';

register();
const require = createRequire(import.meta.url);
const { CONTESTANTS } = require('./contestants.ts');
const { FaultyServer } = require('./run-fault.ts');
const { FAULTS } = require('./table.ts');

const [name, what, limit] = process.argv.slice(2);
const fault = FAULTS.find((one) => one.what === what);
const { workers = 2, module = 'tasks.cjs' } = fault;

const server = await FaultyServer.start(await CONTESTANTS[name]({ workers, module }), Number(limit));
// As servers do: Node makes its outputs only when they are first used.
console.log('listening');
console.error('listening');
await new Promise((resolve) => process.send('ready', resolve));
const report = await server.commit(fault);
await new Promise((resolve) => process.send(report, resolve));
await server.close();
process.exit();
