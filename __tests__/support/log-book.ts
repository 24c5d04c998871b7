/** A logger that keeps its lines, and lets a test wait for one. */
import type { Logger } from 'express-background-tasks';
import { News } from './news.ts';

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly task: string | undefined;
  readonly code: string | undefined;
  /** The message of the error that the line's error was caused by. */
  readonly cause: string | undefined;
}

interface Fields {
  readonly task?: string;
  readonly error?: { readonly code?: string; readonly cause?: { readonly message?: string } };
}

export interface LogBook {
  readonly logger: Logger;
  readonly lines: readonly LogLine[];
  /** Forgets what was logged so far. */
  clear(): void;
  withCode(code: string): readonly LogLine[];
  /** Resolves to the lines with this code as soon as there are that many. */
  until(code: string, count?: number): Promise<readonly LogLine[]>;
}

export function openLogBook(): LogBook {
  const lines: LogLine[] = [];
  const news = new News();

  function write(level: keyof Logger): (message: string, fields?: Fields) => void {
    return (message, fields) => {
      const { task, error } = fields ?? {};
      lines.push({ level, message, task, code: error?.code, cause: error?.cause?.message });
      news.came();
    };
  }

  const withCode = (code: string): readonly LogLine[] => lines.filter((line) => line.code === code);
  return {
    logger: { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') },
    lines,
    clear: () => {
      lines.length = 0;
    },
    withCode,
    until: (code, count = 1) =>
      news.until(() => {
        const found = withCode(code);
        return found.length < count ? undefined : found;
      }),
  };
}
