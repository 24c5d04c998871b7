/** Recognizes calls that are known to block, in a stack and in the source of a program. */

/** Node's modules whose `…Sync` functions block by their nature. */
const NODE_MODULE = /^node:(?:internal\/)?(fs|crypto|zlib|child_process)\b/;

interface Named {
  readonly functionName: string;
  readonly url: string;
}

/** The blocking function of Node that the program has called, where the innermost frames are Node's: `pbkdf2Sync of node:crypto`. */
export function knownCallIn(frames: readonly Named[]): { readonly name: string; readonly module: string } | undefined {
  const firstOther = frames.findIndex(({ url }) => !url.startsWith('node:'));
  const ofNode = firstOther === -1 ? [] : frames.slice(0, firstOther);
  const blocking = ofNode.findLast(({ functionName, url }) => functionName.endsWith('Sync') && NODE_MODULE.test(url));
  if (blocking === undefined) return undefined;
  const module = `node:${NODE_MODULE.exec(blocking.url)?.[1]}`;
  return { name: `${blocking.functionName} of ${module}`, module };
}

const REGULAR_EXPRESSION = 'a regular expression';
const CALLS: readonly { readonly text: string; readonly name: (call: string) => string }[] = [
  { text: String.raw`\b\w+Sync`, name: (call) => call },
  { text: String.raw`\bJSON\s*\.\s*(?:parse|stringify)`, name: (call) => call.replaceAll(/\s/g, '') },
  {
    text: String.raw`\.\s*(?:test|exec|match|matchAll|replace|replaceAll|search|split)`,
    name: () => REGULAR_EXPRESSION,
  },
];

/** `line` and `column` count from 0. */
export interface FoundCall {
  readonly name: string;
  readonly line: number;
  readonly column: number;
}

/** The known call at this place. While a regular expression runs, the inspector gives the place of the method that runs it. */
export function callAt(source: string, line: number, column: number): string | undefined {
  const text = source.split('\n')[line] ?? '';
  return callsOf(text).find(({ start, end }) => start <= column && column <= end)?.name;
}

/**
 * The last known call between `from` and `to`, for a thread that has just returned from native code at `to`. `undefined`
 * where another call follows: that one may have been in native code as well.
 */
export function callBefore(
  source: string,
  from: { readonly line: number; readonly column: number },
  to: { readonly line: number; readonly column: number },
): FoundCall | undefined {
  const lines = source.split('\n').slice(0, to.line + 1);
  const last = (lines[to.line] ?? '').slice(0, to.column);
  for (let line = to.line; line >= from.line; line -= 1) {
    const text = line === to.line ? last : (lines[line] ?? '');
    const found = callsOf(text).findLast(({ start }) => line > from.line || start >= from.column);
    if (found === undefined) continue;
    const rest = [text.slice(found.end), ...lines.slice(line + 1, to.line), ...(line === to.line ? [] : [last])];
    return hasCall(afterArguments(rest.join('\n'))) ? undefined : { name: found.name, line, column: found.start };
  }
  return undefined;
}

const BEFORE_PARENTHESIS = /([\w$]+|[\])])\s*\(/g;
const KEYWORDS = new Set([
  'if',
  'for',
  'while',
  'switch',
  'catch',
  'return',
  'await',
  'of',
  'in',
  'typeof',
  'function',
]);

function hasCall(text: string): boolean {
  return [...text.matchAll(BEFORE_PARENTHESIS)].some(([, word = '']) => !KEYWORDS.has(word));
}

/** What follows the closing parenthesis of the call whose arguments `text` begins with. */
function afterArguments(text: string): string {
  let depth = 1;
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === '(') depth += 1;
    if (text[index] === ')') depth -= 1;
    if (depth === 0) return text.slice(index + 1);
  }
  return '';
}

function callsOf(text: string): { readonly name: string; readonly start: number; readonly end: number }[] {
  return CALLS.flatMap(({ text: pattern, name }) =>
    [...text.matchAll(new RegExp(`(${pattern})\\)?\\s*\\(`, 'g'))].map(({ 0: whole, 1: call = '', index }) => ({
      name: name(call),
      start: index,
      end: index + whole.length,
    })),
  ).sort((one, other) => one.start - other.start);
}
