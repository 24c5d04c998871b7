/** Server-sent events: what happens on the server, told to every open page. */

const LARGEST_BACKLOG = 1024 * 1024;

export function createEventStream() {
  const clients = new Set();

  return {
    /** The handler of the route that pages listen to. */
    connect(_req, res) {
      res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      res.write('retry: 1000\n\n');
      clients.add(res);
      res.on('close', () => clients.delete(res));
    },

    send(event, data) {
      const message = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
      for (const res of clients) {
        // A page that has stopped reading must not fill the server's memory: it is cut off, and connects again.
        if (res.writableLength > LARGEST_BACKLOG) res.destroy();
        else res.write(message);
      }
    },

    /** Event streams do not end by themselves: while one is open, the HTTP server cannot close. */
    close() {
      for (const res of clients) res.end();
      clients.clear();
    },
  };
}
