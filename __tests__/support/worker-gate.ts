/** Holds a task inside its thread or process until the test lets it go on, over a socket: processes share no memory. */
import { createServer, type Server, type Socket } from 'node:net';
import { atEnd } from './cleanup.ts';
import { makeGate } from './promises.ts';

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

/** For so many tasks, each at a gate of its own. */
export async function makeWorkerGates(count: number): Promise<WorkerGate[]> {
  return Promise.all(Array.from({ length: count }, makeWorkerGate));
}
