// What happens to the tasks that are under way, by their keys: kept in a server's process, told by it and by its worker.
const LONGEST_WAIT = 20_000;
const microseconds = (milliseconds) => milliseconds * 1_000;

export function openLedger() {
  /** When the response of each had ended; `undefined` until it has. */
  const underWay = new Map();
  let taken = { accepted: [], released: [], started: [] };
  let isEmpty = () => {};
  return {
    added: (key) => underWay.set(key, undefined),
    finished: (key) => underWay.set(key, performance.timeOrigin + performance.now()),
    started({ key, at }) {
      const finishedAt = underWay.get(key);
      underWay.delete(key);
      if (finishedAt !== undefined) taken.started.push(microseconds(at - finishedAt));
      if (underWay.size === 0) isEmpty();
    },
    took: (what, since) => taken[what].push(microseconds(performance.now() - since)),
    /** What has been noted since the last time, when a worker has started all that was added. */
    async take() {
      if (underWay.size > 0) {
        await new Promise((resolve, reject) => {
          isEmpty = resolve;
          setTimeout(reject, LONGEST_WAIT, new Error('Tasks were added, and no worker has started them.')).unref();
        });
      }
      const result = taken;
      taken = { accepted: [], released: [], started: [] };
      return result;
    },
  };
}
