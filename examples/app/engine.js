/** `--engine redis`: the engine, and what runs beside the server for it, which keeper.js starts and ends. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const KEEPER = fileURLToPath(new URL('./keeper.js', import.meta.url));

/**
 * @param folder where the Redis that is started keeps its tasks, unless REDIS_URL names one that is running
 * @returns the engine for `backgroundTasks`, and `close()`, for when the server's own tasks have ended; `undefined` if
 * there can be none; the keeper has printed why
 */
export async function startEngine({ folder }) {
  // Imported here: the example without an engine does not need these packages.
  const { bullmq } = await import('express-background-tasks/bullmq');
  const keeper = fork(KEEPER, [join(folder, 'redis')], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exit = once(keeper, 'exit');
  const [started] = await Promise.race([once(keeper, 'message'), exit.then(() => [])]);
  if (started === undefined) return undefined;
  return {
    engine: bullmq({ connection: started.url }),
    async close() {
      if (keeper.connected) keeper.disconnect();
      await exit;
    },
  };
}
