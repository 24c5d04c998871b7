/** The modules and programs of the fixtures, by the names of their files. */
export function fixture(name: string): URL {
  return new URL(`../fixtures/${name}`, import.meta.url);
}
