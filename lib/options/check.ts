/** Holds options against their rules, and says what was expected, what came, and what was probably meant. */
import { describe, describeKind } from '../describe.ts';
import { type BackgroundTaskError, optionError } from '../errors.ts';
import { withoutPassword } from '../without-password.ts';
import { nearestOf } from './nearest-name.ts';
import { anObjectOf, isPlainObject, type Rule, type Rules } from './rules.ts';

/**
 * Checks `options` against `rules`; an option that is `undefined` counts as not given.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` at the first that is unknown, refused or of the wrong type.
 */
export function check<Options>(options: Options, rules: Rules<Options>, place: string, path = ''): Options {
  if (!isPlainObject(options)) {
    throw optionError(`Expected the options of ${place} to be an object, got ${describeOption(options)}.`);
  }
  checkFields(options, anObjectOf(rules), place, path);
  return options;
}

function checkFields(options: Record<string, unknown>, rule: Rule, place: string, path: string): void {
  const fields = rule.fields ?? {};
  for (const [name, value] of Object.entries(options)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) throw unknownOption(name, rule, place, path);
    if (value === undefined) continue;
    if (!field.accepts(value)) {
      const got = (field.faultOf ?? describeOption)(value);
      throw optionError(`Expected \`${path}${name}\` of ${place} to be ${field.expected}, got ${got}.`);
    }
    if (field.fields !== undefined) checkFields(value as Record<string, unknown>, field, place, `${path}${name}.`);
  }
}

/** What is in an object may be secret: an environment, the password of a connection. */
function describeOption(value: unknown): string {
  if (typeof value === 'object') return describeKind(value);
  // Masked before `describe` cuts it short: of a URL that was cut, the password may not be recognized any more.
  return `${describe(typeof value === 'string' ? withoutPassword(value) : value)} (${typeof value})`;
}

function unknownOption(name: string, rule: Rule, place: string, path: string): BackgroundTaskError {
  const reason = rule.refused !== undefined && Object.hasOwn(rule.refused, name) ? rule.refused[name] : undefined;
  if (reason !== undefined) return optionError(`\`${path}${name}\` is not an option of ${place}: ${reason}.`);
  const fields = rule.fields ?? {};
  const known = Object.keys(fields);
  // One that belongs in another, as `maxThreads` in `pool`, is meant as it is written.
  const owner = known.find((other) => Object.hasOwn(fields[other]?.fields ?? {}, name));
  const nearest = owner === undefined ? nearestOf(name, known) : `${owner}.${name}`;
  const advice = nearest === undefined ? `The options are ${known.join(', ')}.` : `Did you mean \`${path}${nearest}\`?`;
  return optionError(`\`${path}${name}\` is not an option of ${place}. ${advice}`);
}
