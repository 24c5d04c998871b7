/**
 * Guards make BullMQ's scripts safe for holds, for a Redis whose memory is full, for one that was away for longer than a lock,
 * and for answers that were lost. A guard is put in front of BullMQ's own script: both run as one, and Redis runs nothing in
 * between.
 */
import { ALSO_WHEN_FULL } from './guards/full-memory.ts';
import { DISCARD, RELEASE } from './guards/holds.ts';
import { DELAYED_ALREADY, FETCHED_ALREADY, RETRIED_ALREADY, WRITTEN_ALREADY } from './guards/lost-answers.ts';
import { LOOK, RETAKE_EACH, retake } from './guards/lost-locks.ts';

const GUARDS: Readonly<Record<string, string>> = {
  promote: RELEASE,
  removeJob: DISCARD,
  moveToActive: ALSO_WHEN_FULL + FETCHED_ALREADY,
  extendLocks: ALSO_WHEN_FULL + RETAKE_EACH,
  moveToFinished:
    WRITTEN_ALREADY +
    retake({ active: 'KEYS[2]', job: 'KEYS[12]', id: 'ARGV[1]', token: "cmsgpack.unpack(ARGV[8])['token']" }),
  retryJob:
    ALSO_WHEN_FULL + retake({ active: 'KEYS[1]', job: 'KEYS[4]', id: 'ARGV[4]', token: 'ARGV[5]' }) + RETRIED_ALREADY,
  moveToDelayed:
    ALSO_WHEN_FULL + DELAYED_ALREADY + retake({ active: 'KEYS[2]', job: 'KEYS[5]', id: 'ARGV[3]', token: 'ARGV[4]' }),
  moveStalledJobsToWait: ALSO_WHEN_FULL + LOOK,
};

export const guardedScripts: readonly string[] = Object.keys(GUARDS);

/** BullMQ adds its version to the name of a script: `promote:6.7.0`. */
export function scriptName(command: string): string {
  return command.split(':', 1)[0] as string;
}

/** @returns the script with its guard, where it has one. */
export function guarded(command: string, lua: string): string {
  return `${GUARDS[scriptName(command)] ?? ''}${lua}`;
}
