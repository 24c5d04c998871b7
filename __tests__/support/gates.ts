/** Gates that a test opens, instead of waiting for time to pass: in this thread, in another thread, in another process. */
import { createServer, type Server, type Socket } from 'node:net';
import { atEnd } from './cleanup.ts';

export interface Gate<T = void> {
  readonly opened: Promise<T>;
  open(value: T): void;
}

/** A promise and the function that resolves it. */
export function makeGate<T = void>(): Gate<T> {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Holds a blocking task inside its thread until the test lets it go on, through shared memory. */
export interface ThreadGate {
  /** To be passed to `hold`, `holdThen…` of the thread fixtures. */
  readonly shared: Int32Array;
  /** Resolves when the task's own code has reached the gate. */
  entered(): Promise<void>;
  open(): void;
}

const OPEN = 0;
const ENTERED = 1;

interface AsyncWaiting {
  waitAsync(cells: Int32Array, index: number, value: number): { async: boolean; value: unknown };
}

export function makeThreadGate(): ThreadGate {
  const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const open = (): void => {
    Atomics.store(shared, OPEN, 1);
    Atomics.notify(shared, OPEN);
  };
  // A test that fails must not leave a thread behind that waits for ever.
  atEnd(open);
  return {
    shared,
    open,
    async entered() {
      await (Atomics as unknown as AsyncWaiting).waitAsync(shared, ENTERED, 0).value;
    },
  };
}

/** Holds a task inside its thread or process until the test lets it go on, over a socket: processes share no memory. */
export interface WorkerGate {
  /** To be passed to the fixtures that come to a gate. */
  readonly port: number;
  /** Resolves to the id of the task's process as soon as its own code has come to the gate. */
  entered(): Promise<number>;
  /** Resolves to all that came after the id, when the other side has hung up. */
  left(): Promise<string>;
  /** Lets the task go on, even one that has not come yet. */
  open(): void;
}

/** For one task. */
export async function makeWorkerGate(): Promise<WorkerGate> {
  const entered = makeGate<number>();
  const left = makeGate<string>();
  let isOpen = false;
  let socket: Socket | undefined;
  const server: Server = createServer((connection) => {
    socket = connection;
    let heard = '';
    connection.on('error', () => {}); // A process that was killed resets its connections.
    connection.on('data', (chunk) => {
      heard += chunk;
      if (heard.includes('\n')) entered.open(Number.parseInt(heard, 10));
    });
    connection.on('close', () => left.open(heard.slice(heard.indexOf('\n') + 1)));
    if (isOpen) connection.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A test that fails must not leave a task behind that waits for ever.
  atEnd(() => {
    socket?.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  return {
    port: address.port,
    entered: () => entered.opened,
    left: () => left.opened,
    open() {
      isOpen = true;
      socket?.end();
    },
  };
}

/** For this many tasks, each at a gate of its own. */
export async function makeWorkerGates(count: number): Promise<WorkerGate[]> {
  return Promise.all(Array.from({ length: count }, makeWorkerGate));
}
