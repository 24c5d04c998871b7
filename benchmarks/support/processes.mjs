// Starts parts of a benchmark in processes of their own, and calls functions in them.
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const child = fileURLToPath(new URL('child.mjs', import.meta.url));

/**
 * Opens `module`'s export in a new process. Resolves to `call(name, argument)`, which calls a function that the
 * export returned, and `end()`.
 */
export async function start(module, exportName, { core, execArgv = [] } = {}) {
  const worker = fork(child, [String(module), exportName], {
    env: { ...process.env, NODE_ENV: 'production' },
    serialization: 'advanced',
    execArgv: [...process.execArgv, ...execArgv],
  });
  if (core !== undefined) pin(worker.pid, core);
  const pending = new Map();
  let calls = 0;

  const hasDied = new Promise((_resolve, reject) => {
    worker.once('exit', (code) => reject(new Error(`The process of ${exportName} in ${module} exited with ${code}.`)));
  });
  hasDied.catch(() => {});

  worker.on('message', ({ id, value, error }) => {
    const { resolve, reject } = pending.get(id) ?? {};
    pending.delete(id);
    if (error === undefined) resolve?.(value);
    else reject?.(new Error(error));
  });
  await Promise.race([once(worker, 'message'), hasDied]);

  return {
    call(name, argument) {
      const id = ++calls;
      const answered = new Promise((resolve, reject) => {
        pending.set(id, { resolve, reject });
      });
      worker.send({ id, name, argument });
      return Promise.race([answered, hasDied]);
    },
    async end() {
      if (worker.exitCode !== null || worker.signalCode !== null) return;
      worker.kill();
      await once(worker, 'exit');
    },
  };
}

/** Without `taskset`, the system chooses the core. */
function pin(pid, core) {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'ignore' });
  } catch {}
}
