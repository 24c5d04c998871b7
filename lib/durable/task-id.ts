/** Ids of durable tasks: UUIDs, the one form that every engine takes. They sort in the order added, and carry the task's number. */
import { randomUUID } from '../builtins.ts';

const PREFIX_DIGITS = 8;
const NUMBER_DIGITS = 10;
const ID = /^[0-9a-f]{8}-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f]{3})-[0-9a-f]{12}$/;

/**
 * A UUID of version 8, whose content is up to its maker: the instance's prefix, the number, and random digits.
 *
 * @param prefix hexadecimal digits, of which the first eight are used.
 */
export function durableId(prefix: string, number: number): string {
  const digits = number.toString(16).padStart(NUMBER_DIGITS, '0');
  const chance = randomUUID().slice(-12);
  return `${prefix.slice(0, PREFIX_DIGITS)}-${digits.slice(0, 4)}-8${digits.slice(4, 7)}-8${digits.slice(7)}-${chance}`;
}

/** The number in an id; `undefined` for what is no id of a durable task. */
export function numberInId(id: string): number | undefined {
  const [, high, middle, low] = ID.exec(id) ?? [];
  return high === undefined ? undefined : Number.parseInt(`${high}${middle}${low}`, 16);
}
