/** What the tests read out of the documents: headings, links, tables and code. */

export interface CodeBlock {
  readonly language: string;
  readonly code: string;
  /** The file that the block is said to be, by a comment in its first line. */
  readonly file: string | undefined;
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm;
const FILE_COMMENT = /^\/\/ ([\w./-]+\.[cm]?[jt]s)\b/;

export function codeBlocksOf(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(FENCE)].map(([, language = '', code = '']) => ({
    language,
    code,
    file: FILE_COMMENT.exec(code)?.[1],
  }));
}

export interface Heading {
  readonly level: number;
  readonly text: string;
}

export function headingsOf(markdown: string): Heading[] {
  return [...withoutCodeBlocks(markdown).matchAll(/^(#+) (.+)$/gm)].map(([, marks = '', text = '']) => ({
    level: marks.length,
    text,
  }));
}

/** The anchors of the headings, as GitHub makes them. */
export function anchorsOf(markdown: string): string[] {
  const seen = new Map<string, number>();
  return headingsOf(markdown).map(({ text }) => {
    const anchor = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    const before = seen.get(anchor) ?? 0;
    seen.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
}

/** The targets of the links within the repository. */
export function relativeLinksOf(markdown: string): string[] {
  const text = withoutCodeBlocks(markdown).replace(/`[^`\n]*`(?!\])/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/i.test(target));
}

/** The rows of the first table below a heading, without its head; each row its cells. */
export function tableBelow(markdown: string, heading: string): string[][] {
  const [, section = ''] = markdown.split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [table = ''] = /^\|.*\|\n(?:\|.*\|\n)+/m.exec(section) ?? [];
  return table
    .trim()
    .split('\n')
    .slice(2)
    .map((row) => row.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

function withoutCodeBlocks(markdown: string): string {
  return markdown.replace(FENCE, '');
}
