/** Which of the process's own Node options its threads are given. */

/** Options of Node's that say how modules are loaded: those with a value of their own, and those without. */
const LOADER_OPTION_WITH_VALUE = /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C)$/;
const LOADER_OPTION =
  /^(--(import|require|loader|experimental-loader|conditions)=|--(no-)?experimental-|--enable-source-maps|--preserve-symlinks|--no-warnings|--disable-warning)/;

/**
 * `execArgv` replaces what a thread would inherit. The process's loaders (tsx and the like) must be in force in the
 * threads as well; of its other options, a thread refuses those of V8 and of the process as a whole.
 */
export function inheritedExecArgv(execArgv: readonly string[] = process.execArgv): string[] {
  return execArgv.filter(
    (option, index) =>
      LOADER_OPTION.test(option) ||
      LOADER_OPTION_WITH_VALUE.test(option) ||
      LOADER_OPTION_WITH_VALUE.test(execArgv[index - 1] ?? ''),
  );
}
