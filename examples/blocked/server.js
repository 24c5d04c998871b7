/** What both servers have in common: where the orders are, and a beginning and an end. */
import { once } from 'node:events';
import { join } from 'node:path';

const { FOLDER = '.' } = process.env;

export const orders = join(FOLDER, 'orders.json');
export const report = join(FOLDER, 'report.html');

/** Prints its address. Ends at SIGTERM. */
export async function listen(app, background) {
  const server = app.listen(0, '127.0.0.1');
  // A connection that is closed just when it is used again would falsify the latency.
  server.keepAliveTimeout = 60_000;
  await once(server, 'listening');
  console.log(`http://127.0.0.1:${server.address().port}`);
  process.once('SIGTERM', async () => {
    server.close();
    server.closeIdleConnections();
    await background.close();
  });
}
