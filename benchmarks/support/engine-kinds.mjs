// The engine that is at a URL, and the library by hand for the same.
export async function engineAt({ url: connection, queue }) {
  if (connection.startsWith('redis:')) {
    return (await import('express-background-tasks/bullmq')).bullmq({ connection, queue });
  }
  return (await import('express-background-tasks/pg-boss')).pgBoss({ connection, queue });
}

export function rawAt({ url }) {
  return url.startsWith('redis:') ? import('./raw-bullmq.mjs') : import('./raw-pg-boss.mjs');
}
