/** Reads and checks the command line. */
import { parseArgs } from 'node:util';
import { LONGEST_TIMER, SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';

export const USAGE = `Usage: express-background-tasks work <registry> [options]

Runs the durable tasks that the module <registry> registers with durable(), until SIGTERM or SIGINT.

  --engine <where>      redis://…, rediss://…, postgres://…, or a module whose default export is an engine.
                        Default: the environment variable BACKGROUND_TASKS_ENGINE, which process lists do not show.
  --queue <name>        the name of the queue, if the web processes set one
  --concurrency <n>     how many tasks it takes at once (default: as many as threads; more is for tasks on the event loop)
  --threads <n>         how many worker threads (default: one less than cores, at least 1)
  --timeout <ms>        how long running tasks may take to end after SIGTERM (default: 30000)
  --health-port <port>  answers GET with 200 while the worker takes tasks and the engine answers, else with 503
  --health-host <host>  the address that the health port listens on (default: 127.0.0.1)
  --health-file <path>  a file written every 5 seconds under the same condition: check its age
  --help, --version
`;

/** A mistake on the command line, or in what it names. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface WorkCommand {
  readonly kind: 'work';
  readonly registry: string;
  readonly engine: string | undefined;
  readonly queue: string | undefined;
  readonly concurrency: number | undefined;
  readonly threads: number | undefined;
  readonly timeout: number;
  readonly health: HealthOptions;
}

export interface HealthOptions {
  readonly port: number | undefined;
  readonly host: string;
  readonly file: string | undefined;
}

type Command = WorkCommand | { readonly kind: 'help' } | { readonly kind: 'version' };

const DEFAULT_TIMEOUT = 30 * SECOND;
const DEFAULT_HEALTH_HOST = '127.0.0.1';
const LAST_PORT = 65_535;

const OPTIONS = {
  engine: { type: 'string' },
  queue: { type: 'string' },
  concurrency: { type: 'string' },
  threads: { type: 'string' },
  timeout: { type: 'string' },
  'health-port': { type: 'string' },
  'health-host': { type: 'string' },
  'health-file': { type: 'string' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

/** The names of the options of `work`, for the test that holds docs/operating.md against them. */
export const workOptionNames: readonly string[] = Object.keys(OPTIONS).filter(
  (name) => name !== 'help' && name !== 'version',
);

/** @throws {UsageError} for arguments that are no command. */
export function commandOf(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Command {
  const { values, positionals } = parsed(args);
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const [command, registry, ...rest] = positionals;
  if (command !== 'work') throw new UsageError(`Expected the command work, got ${command ?? 'nothing'}.`);
  if (registry === undefined) throw new UsageError('Expected the path of a registry after work, got nothing.');
  if (rest.length > 0) throw new UsageError(`Expected one registry, got ${rest.length + 1}.`);
  return {
    kind: 'work',
    registry,
    // Many deployments set a variable to the empty string to leave it out.
    engine: values.engine || env['BACKGROUND_TASKS_ENGINE'] || undefined,
    queue: values.queue,
    concurrency: integer('concurrency', values.concurrency, 1),
    threads: integer('threads', values.threads, 1),
    timeout: integer('timeout', values.timeout, 0, LONGEST_TIMER) ?? DEFAULT_TIMEOUT,
    health: {
      port: integer('health-port', values['health-port'], 0, LAST_PORT),
      host: healthHost(values['health-host'], values['health-port']),
      file: values['health-file'],
    },
  };
}

function healthHost(host: string | undefined, port: string | undefined): string {
  if (host === undefined) return DEFAULT_HEALTH_HOST;
  // Node would listen on every address for an empty one, which is the value of a variable that is not set.
  if (host.trim() === '') throw new UsageError('Expected --health-host to be an address, got nothing.');
  if (port !== undefined) return host;
  throw new UsageError('Expected --health-port with --health-host, got no port: without one nothing listens there.');
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (thrown) {
    throw new UsageError(toError(thrown).message);
  }
}

function integer(
  name: string,
  text: string | undefined,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  if (text === undefined) return undefined;
  // `Number` takes more than digits for a number: nothing at all, 0x10, 1e3.
  const value = /^-?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new UsageError(`Expected --${name} to be an integer ${range}, got ${text.trim() || 'nothing'}.`);
}
