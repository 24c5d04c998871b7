// What runs in a process of its own: opens one export of a module, and answers calls to the functions that it returns.
import { Session } from 'node:inspector/promises';
import { mainThread } from './main-thread.mjs';

const [, , module, exportName] = process.argv;

const inspector = new Session();

const functions = {
  async startProfile() {
    inspector.connect();
    await inspector.post('Profiler.enable');
    await inspector.post('Profiler.setSamplingInterval', { interval: 500 });
    await inspector.post('Profiler.start');
  },
  async stopProfile() {
    const { profile } = await inspector.post('Profiler.stop');
    inspector.disconnect();
    return profile;
  },
  /** Microseconds of CPU that this process has used so far, all of its threads together. */
  cpu() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  mainThread,
  ...(await (await import(module))[exportName]()),
};

process.on('message', async ({ id, name, argument }) => {
  try {
    process.send({ id, value: await functions[name](argument) });
  } catch (error) {
    process.send({ id, error: error.stack });
  }
});
process.on('disconnect', () => process.exit());
process.send({ isReady: true });
