/** Blocks in words: for the application's log, and for stderr while a block lasts. */
import type { BlockedEvent, BlockedStack } from './block.ts';
import type { BlockTally } from './block-stats.ts';

const ADVICE = 'docs/watchdog.md';

interface Wording {
  /** As {@link whoOf} says it. */
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

export function whoOf({ cause, task, request, stack }: BlockedEvent): string {
  switch (cause) {
    case 'task':
      return `Task ${task?.name}`;
    case 'request':
      return `The handler of ${request?.method} ${request?.route}`;
    case 'garbage-collection':
      return 'The garbage collection';
    case 'load':
      return 'Many short pieces of work';
    default:
      return stack.length === 0 ? 'Something' : 'Code outside of tasks';
  }
}

export function whereOf(stack: BlockedStack | undefined): string {
  const call = stack?.call === undefined ? '' : `, in ${stack.call}`;
  const frame = stack?.frames[0];
  return frame === undefined ? call : `${call}, at ${frame.function} (${frame.file}:${frame.line})`;
}

export function tallyInWords({ times, totalMs, longestMs }: BlockTally): string {
  const often = times === 1 ? 'once' : `${times} times`;
  return `${often} for ${Math.round(totalMs)} ms${times === 1 ? '' : ` in all, ${Math.round(longestMs)} ms at most`}`;
}
