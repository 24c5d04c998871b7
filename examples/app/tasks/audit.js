/** The audit log: one line of JSON for each event, through one file stream that stays open. */
import { createWriteStream } from 'node:fs';
import { promisify } from 'node:util';
import { currentTask, defineTask } from 'express-background-tasks';

/** @returns the task `audit(action, details)`, and `close()`, which resolves when the last line is in the file */
export function openAuditLog(file) {
  const stream = createWriteStream(file, { flags: 'a' });
  const write = promisify(stream.write.bind(stream));
  const end = promisify(stream.end.bind(stream));
  // The failed write reports the error to its task already; without a listener the process would end.
  stream.on('error', () => {});

  async function writeLine(action, details) {
    const { requestId } = currentTask().context;
    const line = JSON.stringify({ time: new Date().toISOString(), action, requestId, ...details });
    await write(`${line}\n`);
    return { line };
  }

  return {
    audit: defineTask(writeLine, { name: 'audit' }),
    close: () => end(),
  };
}
