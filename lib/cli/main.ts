#!/usr/bin/env node
/** The command `express-background-tasks`. */
import { requireHere } from '../package-files.ts';
import { toError } from '../to-error.ts';
import { commandOf, USAGE, UsageError } from './arguments.ts';
import { runWorker } from './run-worker.ts';

const [FAILED, MISUSED] = [1, 2];

// The reader of the output may be gone first, as `tee` is after Ctrl-C in `… | tee log`: an error of the stream must not end the worker.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const command = commandOf(process.argv.slice(2), process.env);
  if (command.kind === 'help') process.stdout.write(USAGE);
  else if (command.kind === 'version') print(versionOfPackage());
  else await runWorker(command, print);
}

function versionOfPackage(): string {
  return (requireHere('../../package.json') as { version: string }).version;
}

main().catch((thrown: unknown) => {
  process.stderr.write(`${toError(thrown).message}\n`);
  if (thrown instanceof UsageError) process.stderr.write(`\n${USAGE}`);
  process.exit(thrown instanceof UsageError ? MISUSED : FAILED);
});
