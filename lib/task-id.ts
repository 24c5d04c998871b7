/** The ids of tasks: each begins with the prefix of its instance, and carries the task's number. */
import { randomBytes, randomUUID } from './builtins.ts';

/** So many that no two processes of an application will have the same. */
const PREFIX_BYTES = 6;
/** Longer than every id. */
const LONGEST_ID = 64;

/** What begins every id of an instance, so that ids of two processes differ: hexadecimal digits. */
export function newIdPrefix(): string {
  return randomBytes(PREFIX_BYTES).toString('hex');
}

/** The id of a task that only this process keeps. */
export function localId(prefix: string, number: number): string {
  return `${prefix}-${number.toString(36)}`;
}

const PREFIX_DIGITS = 8;
const NUMBER_DIGITS = 10;
const DURABLE_ID = /^[0-9a-f]{8}-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f]{3})-[0-9a-f]{12}$/;

/**
 * The id of a durable task: a UUID, the one form that every engine takes. They sort in the order added. It is of version
 * 8, whose content is up to its maker: the first digits of the prefix, the number, and random digits.
 */
export function durableId(prefix: string, number: number): string {
  const digits = number.toString(16).padStart(NUMBER_DIGITS, '0');
  const chance = randomUUID().slice(-12);
  return `${prefix.slice(0, PREFIX_DIGITS)}-${digits.slice(0, 4)}-8${digits.slice(4, 7)}-8${digits.slice(7)}-${chance}`;
}

/** What a route is given in the place of an id may be anything that a request can hold: an array, an object, a megabyte. */
export function isPossibleId(id: unknown): id is string {
  return typeof id === 'string' && id.length <= LONGEST_ID;
}

export function isDurableId(id: unknown): boolean {
  return isPossibleId(id) && DURABLE_ID.test(id);
}

/** The number in an id of either kind; whatever it may be for what is no id. */
export function numberIn(id: string): number {
  const [, high, middle, low] = DURABLE_ID.exec(id) ?? [];
  if (high !== undefined) return Number.parseInt(`${high}${middle}${low}`, 16);
  return Number.parseInt(id.split('-')[1] ?? '', 36);
}
