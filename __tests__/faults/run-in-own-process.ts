/** Commits a fault that may end the whole server, in a server of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { transformFileSync } from '@swc/core';
import { type ContestantName, SERVER_FLAGS } from './contestants.ts';
import { HANGS, type Report } from './run-fault.ts';
import type { Fault } from './table.ts';

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const program = pathOf('./own-process.cjs');

/** What the program is made of, as JavaScript: a compiler in each of them would take longer to load than all else. */
let compiled: Readonly<Record<string, string>> | undefined;

function compile(): Readonly<Record<string, string>> {
  const paths = ['contestants.ts', 'run-fault.ts', 'settlement.ts', 'table.ts'].map((name) => pathOf(`./${name}`));
  return Object.fromEntries(paths.map((path) => [path, transformFileSync(path, COMPILER_OPTIONS).code]));
}

const COMPILER_OPTIONS = {
  swcrc: false,
  jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
  module: { type: 'commonjs', ignoreDynamic: true },
} as const;

/** The limit for the whole, as a multiple of that for one step. */
const STEPS = 4;

/** How long a server may take until it has started, in milliseconds. */
const START_LIMIT = 60_000;
/** What the program sends when it has started. */
const READY = 'ready';

/** What the program sends for each fault, in their order. */
type Message = typeof READY | Report;

/**
 * Commits them one after the other in one server; faults that it does not reach are reported like the one that ended it.
 * Leftover processes are ended.
 *
 * @param limit how long one step may take until it counts as hanging, in milliseconds.
 */
export async function runInOwnProcess(
  name: ContestantName,
  faults: readonly Fault[],
  limit: number,
): Promise<readonly Report[]> {
  const child = fork(program, { silent: true, execArgv: [...(SERVER_FLAGS[name] ?? [])], detached: true });
  compiled ??= compile();
  child.send({ name, whats: faults.map(({ what }) => what), limit, compiled });
  child.stdout?.resume();
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-LONGEST_EXCERPT);
  });
  const reports: Report[] = [];
  let lateBy: string | undefined;
  const allow = (ms: number, orElse: string): NodeJS.Timeout =>
    setTimeout(() => {
      lateBy = orElse;
      killGroup(child.pid);
    }, ms);
  let timer = allow(START_LIMIT, 'never starts');
  child.on('message', (message: Message) => {
    clearTimeout(timer);
    timer = allow(STEPS * limit, HANGS);
    if (message !== READY) reports.push(message);
  });
  // Its messages may be read only after its end is known.
  const disconnected = once(child, 'disconnect');
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  await disconnected;
  clearTimeout(timer);
  killGroup(child.pid);
  if (reports.length < faults.length && process.env['FAULTS_DEBUG'] !== undefined) console.error(errors);
  const end: Report = {
    caller: `the server ${lateBy ?? `dies of ${signal ?? uncaughtIn(errors) ?? `exit code ${code}`}`}`,
    others: 'lost',
    servesAgain: false,
    pings: { answered: 0, unanswered: 0 },
    settledInWindow: 0,
  };
  return faults.map((_, index) => reports[index] ?? end);
}

const LONGEST_EXCERPT = 4_000;

function uncaughtIn(errors: string): string | undefined {
  return /^Node\.js v/m.test(errors) ? 'an uncaughtException' : undefined;
}

/** It leads a process group of its own, so that everything that it has started ends with it. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // No process is left.
  }
}
