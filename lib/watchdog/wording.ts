/** What a block is called: in the log of the server, and on stderr while nobody else can speak. */
import type { BlockedStack } from './block.ts';

const ADVICE = 'docs/blocking-tasks.md#from-a-log-line-to-a-moved-task';

export interface Wording {
  /** `Task sendReport`, or what else it was. */
  readonly who: string;
  readonly ms: number;
  readonly isOver: boolean;
  readonly stack: BlockedStack | undefined;
  readonly isTask: boolean;
}

export function wordingOf({ who, ms, isOver, stack, isTask }: Wording): string {
  const verb = isOver ? 'blocked' : 'is blocking';
  const duration = `for ${Math.round(ms)} ms${isOver ? '' : ' so far'}`;
  const advice = isTask ? `; move it to a module and call it through blocking(), see ${ADVICE}` : '';
  return `${who} ${verb} the event loop ${duration}${whereOf(stack)}${advice}`;
}

export function whereOf(stack: BlockedStack | undefined): string {
  const call = stack?.call === undefined ? '' : `, in ${stack.call}`;
  const frame = stack?.frames[0];
  return frame === undefined ? call : `${call}, at ${frame.function} (${frame.file}:${frame.line})`;
}
