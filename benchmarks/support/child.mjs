// What runs in a process of its own: opens one export of a module, and answers calls to the functions that it returns.
const [, , module, exportName] = process.argv;

const functions = {
  /** Microseconds of CPU that this process has used so far, all of its threads together. */
  cpu() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
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
