/** The program of a server that has to bear one fault: run with the name of a contestant and what a fault does. */
import { register } from 'tsx/esm/api';

register();
const { CONTESTANTS } = await import('./contestants.ts');
const { FaultyServer } = await import('./run-fault.ts');
const { FAULTS } = await import('./table.ts');

const [name, what, limit] = process.argv.slice(2);
const fault = FAULTS.find((one) => one.what === what);
const { workers = 2, module = 'tasks.cjs' } = fault;

const server = await FaultyServer.start(await CONTESTANTS[name]({ workers, module }), Number(limit));
const report = await server.commit(fault);
await new Promise((resolve) => process.send(report, resolve));
await server.close();
process.exit();
