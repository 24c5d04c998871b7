/** Options with what was left out filled in. */

/** Options whose defaults are filled in. */
export type Filled<Options> = { readonly [Name in keyof Options]-?: Exclude<Options[Name], undefined> };

/** Options of which only those with a default are certain to be there. */
export type Complete<Options, WithDefault extends keyof Options> = Required<Omit<Options, WithDefault>> & {
  readonly [Name in WithDefault]-?: NonNullable<Options[Name]>;
};

/** An option that is `undefined` counts as not given. */
export function fillIn<Options extends object>(options: Options, defaults: Partial<Filled<Options>>): Filled<Options> {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...given } as Filled<Options>;
}
