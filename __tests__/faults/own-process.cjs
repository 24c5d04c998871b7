/** The program of a server in which faults are committed. It is sent the contestant, the faults, and its own modules, compiled. */
const { once } = require('node:events');

const send = (message) => new Promise((resolve) => process.send(message, resolve));

async function main() {
  const [{ name, whats, limit, compiled }] = await once(process, 'message');
  require.extensions['.ts'] = (module, file) => module._compile(compiled[file], file);
  const { CONTESTANTS } = require('./contestants.ts');
  const { FaultyServer } = require('./run-fault.ts');
  const { FAULTS } = require('./table.ts');

  const faults = whats.map((what) => FAULTS.find((fault) => fault.what === what));
  const [{ workers = 2, module = 'tasks.cjs' }] = faults;
  const server = await FaultyServer.start(await CONTESTANTS[name]({ workers, module }), limit);
  // As servers do: Node creates its output streams only when they are first used.
  console.log('listening');
  console.error('listening');
  await send('ready');
  for (const fault of faults) await send(await server.commit(fault));
  await server.close();
  process.exit();
}

main();
