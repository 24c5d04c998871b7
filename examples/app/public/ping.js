/** Measures how long a request takes that has nothing to do with the tasks. */

export async function ping() {
  const sentAt = performance.now();
  await fetch('/ping');
  return performance.now() - sentAt;
}

/**
 * Pings at an even rate until `until` resolves, whether or not the answers keep up: a server that is blocked must
 * not be asked less often.
 *
 * @returns {Promise<{ at: number, took: number }[]>} rejects as soon as there is no answer
 */
export async function pingUntil(until, everyMs) {
  const pings = [];
  let timer;
  const failed = new Promise((_resolve, reject) => {
    timer = setInterval(() => {
      const at = performance.now();
      const pinged = ping().then((took) => ({ at, took }));
      pinged.catch(() => reject(new Error('The server did not answer.')));
      pings.push(pinged);
    }, everyMs);
  });
  await Promise.race([until, failed]).finally(() => clearInterval(timer));
  return Promise.all(pings);
}

/** Nearest rank. */
export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
}
