/**
 * The connections that the engine has made itself. pg ends them by asking the server, and a server that has fallen silent
 * would keep the process for as long as a query may take.
 */
import { Socket } from 'node:net';

export class Connections {
  readonly #sockets = new Set<Socket>();

  /** What pg calls `stream`: makes the socket of a connection. */
  readonly open = (): Socket => {
    const socket = new Socket();
    this.#sockets.add(socket);
    return socket.once('close', () => this.#sockets.delete(socket));
  };

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
