/** Where failures are told. The one room that knows winston. */
import type Winston from 'winston';
import { describe } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import { notify } from './hooks.ts';
import { onOneLine } from './one-line.ts';
import { requireHere } from './package-files.ts';

/** Anything with winston's four methods: winston itself, pino, `console`, and most others. */
export interface Logger {
  // biome-ignore lint/suspicious/noExplicitAny: every logger types its further arguments in its own way.
  error(message: string, ...meta: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  warn(message: string, ...meta: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  info(message: string, ...meta: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  debug(message: string, ...meta: any[]): unknown;
}

export type Level = keyof Logger;

/** A log that never throws, whatever the logger behind it does. */
export interface Log {
  /** Whether a line of this level would be written, as far as the logger can tell. If not, it need not be made. */
  hears(level: Level): boolean;
  write(level: Level, message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Most loggers can say which of their levels are on. */
interface LoggerWithLevels extends Logger {
  isLevelEnabled?(level: string): boolean;
}

/** The log of an instance: to the user's logger; to winston's console if none was given; to nowhere for `false`. */
export function createLog(logger: Logger | false | undefined): Log {
  if (logger === false) return { hears: () => false, write: () => {} };
  const target: LoggerWithLevels = logger ?? consoleLogger();
  let hasWarned = false;

  // A process warning is the one channel left when the logger itself is broken; one is enough to find it.
  const reportLogger = (thrown: unknown): void => {
    if (hasWarned) return;
    hasWarned = true;
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_LOGGER',
      'The option `logger` threw: the line it was given is lost.',
      { cause: thrown },
    );
    // As text: Node refuses errors of other realms (jest, vm) here, by throwing.
    process.emitWarning(error.message, { type: error.name, code: error.code, detail: describe(thrown) });
  };

  return {
    hears(level) {
      try {
        return target.isLevelEnabled?.(level) ?? true;
      } catch (thrown) {
        reportLogger(thrown);
        return true;
      }
    },
    write: (level, message, fields) => notify(() => tell(target, level, message, fields), reportLogger),
  };
}

/** In every logger of pino, children included. Registered, so it is the same whatever pino's version. */
const PINO = Symbol.for('pino.serializers');

type PinoLogger = Readonly<Record<Level, (fields: object, message: string) => unknown>>;

function isPino(logger: Logger): logger is Logger & PinoLogger {
  return PINO in logger;
}

/** pino takes the fields first: behind a text it would drop them. */
function tell(logger: Logger, level: Level, message: string, fields: object): unknown {
  return isPino(logger) ? logger[level](fields, message) : logger[level](message, fields);
}

function consoleLogger(): LoggerWithLevels {
  // Loaded only here: an application with a logger of its own, and every worker thread, is spared winston's start.
  const winston = requireHere('winston') as typeof Winston;
  const logger = winston.createLogger({
    level: 'info',
    format: winston.format.combine(winston.format.timestamp(), winston.format.printf(lineOf)),
    transports: [new winston.transports.Console({ stderrLevels: ['error', 'warn'] })],
  });
  // Every task asks. Nobody can change the level of this logger, and winston would look through its transports each time.
  return Object.assign(logger, { isLevelEnabled: (level: string) => level !== 'debug' });
}

/**
 * Where winston keeps what it was given beside the message. To the line itself it adds that only where the message has no
 * `%s` and the like in it, as an encoded URL may have.
 */
const GIVEN = Symbol.for('splat');

/** What a person looks for comes first; what a machine looks for is the JSON behind it. */
function lineOf({ timestamp, level, message, [GIVEN]: given }: Winston.Logform.TransformableInfo): string {
  const [fields] = given as [object];
  return onOneLine(`${timestamp} ${level}: ${message} ${JSON.stringify(fields)}`);
}
