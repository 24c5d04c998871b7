/** Every fault that a task can commit, and two tasks that commit none. CommonJS, so that the event loop's tests can load it too. */
const { closeSync, openSync, writeSync } = require('node:fs');
const { devNull } = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { isMainThread, parentPort } = require('node:worker_threads');

exports.echo = (value) => value;
exports.rest = async ({ ms, value }) => {
  await delay(ms);
  return value;
};

class StorageError extends Error {
  name = 'StorageError';
  code = 'ETIMEDOUT';
  attempts = 3;
  details = { bucket: 'images' };
}

exports.throwSubclass = () => {
  throw new StorageError('upload failed');
};
exports.throwNull = () => {
  throw null;
};
exports.throwUndefined = () => {
  throw undefined;
};
exports.throwFunctionHolder = () => {
  throw { retry: () => {} };
};
exports.returnFunctionHolder = () => ({ retry: () => {} });
exports.returnRichValues = () => [new Map([['a', 1n]]), new Date(0), new Uint8Array([1, 2])];

exports.exit = (code) => process.exit(code);
/** The tasks of a batch run in one turn of the event loop. */
let tasksOfTurn = 0;
exports.exitInBatch = (argument) => {
  if (!('value' in argument)) process.exit(tasksOfTurn);
  if (tasksOfTurn === 0) setImmediate(() => (tasksOfTurn = 0));
  tasksOfTurn += 1;
  return argument.value;
};
exports.killItself = async (signal) => {
  process.kill(process.pid, signal);
  await delay(60_000);
};
/** Silences what the process prints when it dies like this; a thread shares its outputs with the server. */
function silence() {
  if (!isMainThread) return;
  closeSync(2);
  openSync(devNull, 'w');
}
exports.abort = () => {
  silence();
  process.abort();
};
exports.dropHandlersAndThrow = async () => {
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  silence();
  setTimeout(() => {
    throw new Error('with nobody to catch it');
  });
  await delay(60_000);
};
exports.cutChannel = async () => {
  if (isMainThread) process.disconnect();
  else parentPort.close();
  await delay(20);
  return 'cut';
};

/** An error that is its own cause: V8 can write it, but not read it. */
exports.sendUnreadable = async () => {
  const error = new Error('a ring');
  error.cause = error;
  if (isMainThread) process.send(error);
  else parentPort.postMessage(error);
  await delay(20);
  return 'sent';
};
exports.returnUnreadable = () => {
  const error = new Error('a ring');
  error.cause = error;
  return error;
};

exports.leaveThrowingTimer = (ms) => {
  setTimeout(() => {
    throw new Error('a late timer');
  }, ms);
  return 'done';
};
exports.leaveRejection = () => {
  Promise.reject(new Error('a floating rejection'));
  return 'done';
};
exports.throwInOwnTimer = async () => {
  setTimeout(() => {
    throw new RangeError('thrown by a timer of its own');
  }, 5);
  await delay(60_000);
};

exports.loopForEver = () => {
  for (;;);
};
exports.ignoreSignal = () => new Promise(() => {});

exports.fillHeap = () => {
  silence();
  const kept = [];
  for (;;) kept.push(new Array(100_000).fill(kept.length + 0.5));
};
exports.fillHeapAtOnce = () => {
  silence();
  return new Array(20_000_000).fill(0.5).length;
};
exports.fillBuffers = (megabytes) => {
  const kept = [];
  for (let size = 0; size < megabytes; size += 10) kept.push(Buffer.alloc(10_000_000, 1));
  return kept.length * 10;
};

exports.closeOutputs = async () => {
  for (const descriptor of [1, 2]) {
    closeSync(descriptor);
    // The descriptor is given to the next file that is opened: one that cannot be written to, so that no connection of the server gets the output.
    openSync(__filename, 'r');
  }
  // The console ignores the first line that fails.
  for (let line = 1; line <= 2; line += 1) {
    console.log('to nobody');
    console.error('to nobody');
    await new Promise(process.nextTick);
  }
  return 'closed';
};
exports.floodOutput = (megabytes) => {
  const line = `${'x'.repeat(999)}\n`;
  for (let written = 0; written < megabytes * 1_000; written += 1) process.stdout.write(line);
  return megabytes;
};
/** Directly to the descriptor, where a slow reader makes the writer wait. */
exports.floodDescriptor = (megabytes) => {
  const chunk = Buffer.alloc(10_000, 'x');
  for (let written = 0; written < megabytes * 1_000_000; ) {
    try {
      written += writeSync(1, chunk);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
  return megabytes;
};
