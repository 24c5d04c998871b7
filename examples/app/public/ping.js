/** How long a request takes that has nothing to do with the tasks. */

export async function ping() {
  const sentAt = performance.now();
  await fetch('/ping');
  return performance.now() - sentAt;
}

/**
 * Pings at an even rate until `until` resolves, whether or not the answers keep up: a server that stands still must
 * not be asked less often.
 *
 * @returns {Promise<{ at: number, took: number }[]>}
 */
export async function pingUntil(until, everyMs) {
  const pings = [];
  const timer = setInterval(() => {
    const at = performance.now();
    pings.push(ping().then((took) => ({ at, took })));
  }, everyMs);
  await until.finally(() => clearInterval(timer));
  return Promise.all(pings);
}

/** Nearest rank. */
export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
}
