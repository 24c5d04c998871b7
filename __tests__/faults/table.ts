/** Every fault, and what it must come to in each executor. A row is data: run-fault.ts commits it. */

export const EXECUTORS = ['event-loop', 'thread', 'process'] as const;
export type ExecutorName = (typeof EXECUTORS)[number];

/** What the caller must be told, as text or as a pattern. */
export type Expectation = string | RegExp | Impossible;

/** That such a fault is not possible on an executor, which lacks something for it. */
export interface Impossible {
  readonly forWantOf: string;
}

export function isPossible(expectation: Expectation): expectation is string | RegExp {
  return typeof expectation === 'string' || expectation instanceof RegExp;
}

export interface Fault {
  /** Completes the sentence "a task that …". */
  readonly what: string;
  /** A file in modules/. The tasks beside it are always those of tasks.cjs. */
  readonly module?: string;
  readonly task: string;
  readonly argument?: unknown;
  readonly timeout?: number;
  /** How many such tasks there are. */
  readonly times?: number;
  /** How many threads or processes; tasks that wait for the only one wait for the guilty one. */
  readonly workers?: number;
  /**
   * In the middle of a batch: it is first shown to be short, in runs that are given `{ value }` and return it, and so are
   * those beside it, but for the one that they wait for.
   */
  readonly isBatched?: boolean;
  /** How long the tasks are watched, in milliseconds; those that have not settled by then are cancelled. */
  readonly window?: number;
  /** Whether the fault affects the whole process: the server then has one of its own. */
  readonly needsOwnProcess?: readonly ExecutorName[];
  readonly expected: Readonly<Record<ExecutorName, Expectation>>;
  /** The most of its tasks that may have been started within `window`. */
  readonly mostStarted?: number;
  /** How often it is in each batch of those that are committed over and over, to see whether anything leaks: the cheap ones are. */
  readonly repeated?: { readonly [Name in ExecutorName]?: number };
}

const everywhere = (expected: Expectation): Fault['expected'] => ({
  'event-loop': expected,
  thread: expected,
  process: expected,
});
const inWorkers = (expected: Expectation): Pick<Fault['expected'], 'thread' | 'process'> => ({
  thread: expected,
  process: expected,
});
/** On the event loop a task is the server itself. */
const serverDies = (how: string): Pick<Fault['expected'], 'event-loop'> => ({
  'event-loop': `the server dies of ${how}`,
});
const UNCAUGHT = 'an uncaughtException';
const SERVER_HANGS = { 'event-loop': 'the server hangs' };
const NO_WORKERS = { 'event-loop': { forWantOf: 'workers' } };
const NO_BATCHES = { forWantOf: 'batches' };
const NO_CHANNEL = { 'event-loop': { forWantOf: 'channel to a parent' } };

const NOT_AN_ERROR = 'failed: BackgroundTaskError ERR_BACKGROUND_NOT_AN_ERROR';
const THREAD_EXITED = 'failed: BackgroundTaskError ERR_BACKGROUND_THREAD_EXITED';
const PROCESS_EXITED = 'failed: BackgroundTaskError ERR_BACKGROUND_PROCESS_EXITED';
const MODULE = 'failed: BackgroundTaskError ERR_BACKGROUND_MODULE';
const TIMEOUT = 'timed-out: BackgroundTaskError ERR_BACKGROUND_TIMEOUT';

/** Long enough for a module to load on a busy machine, so that it is the task that is caught. */
const SHORT = 400;

export const FAULTS: readonly Fault[] = [
  {
    what: 'throws an error of its own class, with a code and properties',
    task: 'throwSubclass',
    repeated: { 'event-loop': 2_000, thread: 300, process: 100 },
    expected: everywhere('failed: StorageError ETIMEDOUT, attempts 3, details'),
  },
  { what: 'throws null', task: 'throwNull', expected: everywhere(NOT_AN_ERROR) },
  { what: 'throws undefined', task: 'throwUndefined', expected: everywhere(NOT_AN_ERROR) },
  {
    what: 'throws something that holds a function',
    task: 'throwFunctionHolder',
    repeated: { 'event-loop': 1_000, thread: 100, process: 20 },
    expected: everywhere(NOT_AN_ERROR),
  },
  {
    what: 'returns something that holds a function',
    task: 'returnFunctionHolder',
    repeated: { thread: 100, process: 20 },
    expected: { 'event-loop': 'completed: { retry: [Function: retry] }', ...inWorkers('completed: undefined') },
  },
  {
    what: 'returns a Map with a BigInt, a Date and bytes',
    task: 'returnRichValues',
    expected: everywhere("completed: [ Map(1) { 'a' => 1n }, 1970-01-01T00:00:00.000Z, Uint8Array(2) [ 1, 2 ] ]"),
  },
  {
    what: 'returns an error that is its own cause, which V8 can write but not read',
    task: 'returnUnreadable',
    needsOwnProcess: ['process'],
    // A newer V8 may learn to read it.
    repeated: { thread: 20 },
    expected: everywhere(/^completed: /),
  },
  {
    what: 'sends its parent a message that V8 can write but not read',
    task: 'sendUnreadable',
    needsOwnProcess: ['process'],
    expected: { ...NO_CHANNEL, ...inWorkers("completed: 'sent'") },
  },
  {
    what: 'names an export that is not there',
    task: 'notThere',
    repeated: { thread: 20, process: 20 },
    expected: {
      'event-loop': 'refused by add: BackgroundTaskError ERR_BACKGROUND_TASK',
      ...inWorkers('failed: BackgroundTaskError ERR_BACKGROUND_EXPORT'),
    },
  },
  {
    what: 'calls process.exit',
    task: 'exit',
    argument: 3,
    needsOwnProcess: ['event-loop'],
    repeated: { thread: 1, process: 1 },
    expected: {
      ...serverDies('exit code 3'),
      thread: `${THREAD_EXITED}, exitCode 3`,
      process: `${PROCESS_EXITED}, exitCode 3`,
    },
  },
  {
    what: 'calls process.exit while others wait for the only worker',
    task: 'exit',
    argument: 3,
    workers: 1,
    expected: { ...NO_WORKERS, thread: `${THREAD_EXITED}, exitCode 3`, process: `${PROCESS_EXITED}, exitCode 3` },
  },
  {
    what: 'calls process.exit in the middle of a batch, with the number of tasks before it',
    task: 'exitInBatch',
    argument: {},
    workers: 1,
    isBatched: true,
    expected: {
      'event-loop': NO_BATCHES,
      // If it had been sent alone, none would be before it.
      thread: new RegExp(`^${THREAD_EXITED}, exitCode [1-9]$`),
      process: NO_BATCHES,
    },
  },
  {
    what: 'calls process.abort',
    task: 'abort',
    needsOwnProcess: ['event-loop'],
    expected: {
      ...serverDies('SIGABRT'),
      thread: 'failed: TypeError ERR_WORKER_UNSUPPORTED_OPERATION',
      process: `${PROCESS_EXITED}, signal SIGABRT`,
    },
  },
  {
    what: 'kills its own process by SIGKILL',
    task: 'killItself',
    argument: 'SIGKILL',
    needsOwnProcess: ['event-loop', 'thread'],
    expected: {
      ...serverDies('SIGKILL'),
      thread: 'the server dies of SIGKILL',
      process: `${PROCESS_EXITED}, signal SIGKILL`,
    },
  },
  {
    what: 'kills its own process by SIGSEGV, as native code does that reads where it must not',
    task: 'killItself',
    argument: 'SIGSEGV',
    needsOwnProcess: ['event-loop', 'thread'],
    expected: {
      ...serverDies('SIGSEGV'),
      thread: 'the server dies of SIGSEGV',
      process: `${PROCESS_EXITED}, signal SIGSEGV`,
    },
  },
  {
    what: 'takes away all error handlers and throws in a timer',
    task: 'dropHandlersAndThrow',
    needsOwnProcess: ['event-loop'],
    expected: {
      ...serverDies('exit code 1'),
      thread: `${THREAD_EXITED}, exitCode 1`,
      process: `${PROCESS_EXITED}, exitCode 1`,
    },
  },
  {
    what: 'cuts the channel to its parent',
    task: 'cutChannel',
    expected: { ...NO_CHANNEL, thread: "completed: 'cut'", process: `${PROCESS_EXITED}, exitCode 0` },
  },
  {
    what: 'leaves a timer behind that throws when the task is over',
    task: 'leaveThrowingTimer',
    argument: 20,
    needsOwnProcess: ['event-loop'],
    expected: { ...serverDies(UNCAUGHT), ...inWorkers("completed: 'done'") },
  },
  {
    what: 'leaves a rejection behind',
    task: 'leaveRejection',
    needsOwnProcess: ['event-loop'],
    repeated: { thread: 20, process: 20 },
    expected: { ...serverDies(UNCAUGHT), ...inWorkers("completed: 'done'") },
  },
  {
    what: 'throws in a timer of its own while it runs',
    task: 'throwInOwnTimer',
    needsOwnProcess: ['event-loop'],
    expected: { ...serverDies(UNCAUGHT), ...inWorkers('failed: RangeError') },
  },
  {
    what: 'loops for ever, under a timeout',
    task: 'loopForEver',
    timeout: SHORT,
    needsOwnProcess: ['event-loop'],
    repeated: { thread: 1, process: 1 },
    expected: { ...SERVER_HANGS, ...inWorkers(TIMEOUT) },
  },
  {
    what: 'loops for ever while others wait for the only worker',
    task: 'loopForEver',
    timeout: SHORT,
    workers: 1,
    expected: { ...NO_WORKERS, ...inWorkers(TIMEOUT) },
  },
  {
    what: 'ignores its signal and never ends, under a timeout',
    task: 'ignoreSignal',
    timeout: SHORT,
    repeated: { 'event-loop': 100 },
    expected: everywhere(TIMEOUT),
  },
  {
    what: 'fills its heap',
    task: 'fillHeap',
    needsOwnProcess: ['event-loop'],
    expected: {
      ...serverDies('SIGABRT'),
      thread: 'failed: BackgroundTaskError ERR_BACKGROUND_OUT_OF_MEMORY',
      process: new RegExp(`^${PROCESS_EXITED}, (signal (SIGABRT|SIGTRAP)|exitCode \\d+)$`),
    },
  },
  {
    what: 'fills its heap by one array that is larger than all of it',
    task: 'fillHeapAtOnce',
    needsOwnProcess: ['event-loop', 'thread'],
    expected: {
      ...serverDies('SIGABRT'),
      // Node ends a thread that comes near its limit; what goes far beyond it in one step ends the process.
      thread: 'the server dies of SIGABRT',
      process: new RegExp(`^${PROCESS_EXITED}, (signal (SIGABRT|SIGTRAP)|exitCode \\d+)$`),
    },
  },
  {
    what: 'fills 100 MB of Buffers',
    task: 'fillBuffers',
    argument: 100,
    expected: everywhere('completed: 100'),
  },
  {
    what: 'closes file descriptors 1 and 2, and prints',
    task: 'closeOutputs',
    needsOwnProcess: ['event-loop', 'thread'],
    expected: {
      // A server that has printed before dies of its next line, unless it listens for errors of its outputs. A thread's are the server's own.
      ...serverDies('exit code 1'),
      thread: 'the server dies of exit code 1',
      // Printing fails before the task has ended, or afterwards: that depends on the kind of the outputs.
      process: /^(completed: 'closed'|failed: Error (EBADF|EPIPE), errno -\d+, syscall write)$/,
    },
  },
  {
    what: 'floods standard output with 20 MB',
    task: 'floodOutput',
    argument: 20,
    needsOwnProcess: EXECUTORS,
    expected: everywhere('completed: 20'),
  },
  {
    what: 'floods file descriptor 1 with 20 MB',
    task: 'floodDescriptor',
    argument: 20,
    needsOwnProcess: EXECUTORS,
    expected: everywhere('completed: 20'),
  },
  {
    what: 'is in a module that throws while it is loaded (20 such tasks)',
    module: 'throws.mjs',
    task: 'anything',
    times: 20,
    needsOwnProcess: ['event-loop'],
    repeated: { thread: 20, process: 20 },
    expected: { 'event-loop': '20 × failed: Error E_CONFIGURATION', ...inWorkers(`20 × ${MODULE}`) },
  },
  {
    what: 'is in a module that imports what is not there (20 such tasks)',
    module: 'imports-missing.mjs',
    task: 'anything',
    times: 20,
    needsOwnProcess: ['event-loop'],
    expected: { 'event-loop': '20 × failed: Error ERR_MODULE_NOT_FOUND', ...inWorkers(`20 × ${MODULE}`) },
  },
  {
    what: 'is in a module that loops for ever while it is loaded, under a timeout',
    module: 'loops.mjs',
    task: 'anything',
    timeout: SHORT,
    needsOwnProcess: ['event-loop'],
    expected: { ...SERVER_HANGS, ...inWorkers(TIMEOUT) },
  },
  {
    what: 'is in a module that waits for ever while it is loaded, under a timeout',
    module: 'waits.mjs',
    task: 'anything',
    timeout: SHORT,
    needsOwnProcess: ['event-loop'],
    expected: everywhere(TIMEOUT),
  },
  {
    what: 'is in a module that calls process.exit while it is loaded',
    module: 'exits.mjs',
    task: 'anything',
    needsOwnProcess: ['event-loop'],
    expected: {
      ...serverDies('exit code 7'),
      thread: `${THREAD_EXITED}, exitCode 7`,
      process: `${PROCESS_EXITED}, exitCode 7`,
    },
  },
  {
    what: 'crashes its worker, 1,000 times',
    task: 'exit',
    argument: 3,
    times: 1_000,
    window: 1_500,
    mostStarted: 20,
    expected: {
      ...NO_WORKERS,
      thread: new RegExp(
        `^\\d+ × ${THREAD_EXITED}, exitCode 3; \\d+ × cancelled: BackgroundTaskError ERR_BACKGROUND_CANCELLED$`,
      ),
      process: new RegExp(
        `^\\d+ × ${PROCESS_EXITED}, exitCode 3; \\d+ × cancelled: BackgroundTaskError ERR_BACKGROUND_CANCELLED$`,
      ),
    },
  },
];
