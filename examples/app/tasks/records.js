/** The embedded database: LevelDB, in a folder of its own, by classic-level. */

import { ClassicLevel } from 'classic-level';
import { defineTask } from 'express-background-tasks';

/** @returns the task `record(key, value)`, `find(key)`, and `close()` */
export async function openRecords(folder) {
  const db = new ClassicLevel(folder, { valueEncoding: 'json' });
  await db.open();

  async function put(key, value) {
    await db.put(key, value);
    return { key, value };
  }

  return {
    record: defineTask(put, { name: 'record' }),
    find: (key) => db.get(key),
    close: () => db.close(),
  };
}
