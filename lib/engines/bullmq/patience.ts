/** A Redis that lacks replicas, can't write to its disk or runs a long script refuses commands for a while. A worker waits for its end. */
import type { Job, Worker } from 'bullmq';
import { takeOut } from '../../collections/take-out.ts';
import { SECOND } from '../../time/timers.ts';

const ASK_AGAIN_AFTER = 1 * SECOND;

/**
 * BullMQ takes refusals for final: it asks for the next task at once, again and again, and takes the refusal of a result
 * for the failure of a task that has completed.
 */
const ASKED_AGAIN = [
  'waitForJob',
  'moveToActive',
  'moveToCompleted',
  'moveToFailed',
  'moveToDelayed',
  'retryJob',
] as const;

/** Of these, what a worker that stops has no use for. What its tasks came to is told until it is disconnected. */
const FETCHING: ReadonlySet<string> = new Set(['waitForJob', 'moveToActive'] satisfies (typeof ASKED_AGAIN)[number][]);

/** The place of the argument by which a call that tells of a result also fetches the next task. */
const FETCH_NEXT = 4;

type Call = (...args: unknown[]) => Promise<unknown>;

/**
 * @param onRefusal called each time that Redis refuses.
 * @returns what tells the ids of the jobs of which Redis is being told what they came to.
 */
export function askAgain(worker: Worker, onRefusal: (error: Error) => void): () => readonly string[] {
  /** The first argument of such a call: the job, or its id. */
  const untold: unknown[] = [];
  const backend = worker.getBackend() as unknown as Record<(typeof ASKED_AGAIN)[number], Call>;
  for (const name of ASKED_AGAIN) {
    const call = backend[name].bind(backend);
    const isFetching = FETCHING.has(name);
    const waitAfter = async (thrown: unknown): Promise<void> => {
      if (!isReplyError(thrown)) throw thrown;
      onRefusal(thrown);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_AFTER).unref());
      if (isFetching && worker.closing !== undefined) throw thrown;
    };
    backend[name] = async (...args) => {
      if (!isFetching) untold.push(args[0]);
      try {
        for (;;) {
          try {
            return await call(...(worker.closing === undefined ? args : args.map(fetchingNothing)));
          } catch (thrown) {
            await waitAfter(thrown);
          }
        }
      } finally {
        if (!isFetching) takeOut(untold, args[0]);
      }
    };
  }
  return () => untold.map((job) => String(typeof job === 'string' ? job : (job as Job).id));
}

/** BullMQ has decided whether to fetch when it called first. Meanwhile the worker may have begun to stop. */
function fetchingNothing(arg: unknown, place: number): unknown {
  if (place !== FETCH_NEXT) return arg;
  return typeof arg === 'object' ? { ...arg, fetchNext: false } : false;
}

/** Whether Redis has answered, with an error of its own. BullMQ's scripts say with a number what they have to say. */
function isReplyError(thrown: unknown): thrown is Error {
  return thrown instanceof Error && thrown.name === 'ReplyError';
}
