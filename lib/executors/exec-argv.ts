/** Which of the process's own Node options its threads and processes are given. */

/** How modules are loaded, what the code may do, and what it is warned of. V8 has options that begin with `--allow-`, too. */
const KEPT_OPTION =
  /^(--(import|require|loader|conditions|(no-)?experimental-|config-file|enable-source-maps|preserve-symlinks|permission|allow-(addons|child|ffi|fs|inspector|net|openssl|wasi|worker)|no-warnings|disable-warning)|-[rC]$)/;

/** Options whose value may be an argument of its own. */
const WITH_VALUE: ReadonlySet<string | undefined> = new Set([
  ...['--import', '--require', '-r', '--loader', '--experimental-loader', '--conditions', '-C'],
  ...['--experimental-config-file', '--experimental-default-type'],
  ...['--disable-warning', '--allow-fs-read', '--allow-fs-write'],
]);

/**
 * `execArgv` replaces what a thread would inherit. The process's loaders (tsx and the like) and its permissions must be in
 * force in the threads as well; of its other options, a thread refuses those of V8 and of the process as a whole.
 */
export function inheritedExecArgv(): string[] {
  const { execArgv } = process;
  return execArgv.filter((option, index) => KEPT_OPTION.test(option) || WITH_VALUE.has(execArgv[index - 1]));
}
