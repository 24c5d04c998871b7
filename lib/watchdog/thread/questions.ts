/** What the main thread is asked while it stands still, and what its answers say. */
import type { Debugger } from 'node:inspector';
import type { BlockedRequest, Whereabouts } from '../block.ts';
import type { AskFrame } from './debugger-session.ts';
import { isOwnCode } from './own-code.ts';

/** In some of Node's own frames a bare `Symbol` is out of reach. */
const WHEREABOUTS = `globalThis[globalThis.Symbol.for('express-background-tasks.watchdog')]?.look`;
/** Where a task's last code returns to. Its async context may be over, but not the name of what it was. */
const RETURN_OF_TASK = { function: '#endAfter', file: /\/executors\/event-loop\.js$/, task: 'attempt.task' };
/** So many frames are asked, from the innermost: some of Node's own cannot answer. */
const FRAMES_TO_ASK = 6;

/** The methods of Express's layers that call a handler, as they are named in 5 and 4, and what they know of its request. */
const HANDLES_REQUEST = new Set(['handleRequest', 'handle']);
const LAYER = /\/layer\.js$/;
const REQUEST = `({ method: req.method, route: req.route ? (req.baseUrl || '') + req.route.path : req.originalUrl.split('?')[0] })`;

export interface Answer {
  readonly whereabouts: Whereabouts | undefined;
  readonly request: BlockedRequest | undefined;
}

export async function askThread(ask: AskFrame, frames: readonly Debugger.CallFrame[]): Promise<Answer> {
  let whereabouts: Whereabouts | undefined;
  for (const frame of frames.slice(0, FRAMES_TO_ASK)) {
    const task = isReturnOfTask(frame) ? RETURN_OF_TASK.task : '';
    whereabouts = (await ask(frame, `${WHEREABOUTS}(${task})`)) as Whereabouts | undefined;
    if (whereabouts !== undefined) break;
  }
  const handler = frames.find(({ functionName, url }) => HANDLES_REQUEST.has(functionName) && LAYER.test(url));
  const request = handler && ((await ask(handler, REQUEST)) as BlockedRequest | undefined);
  return { whereabouts, request };
}

function isReturnOfTask({ functionName, url }: Debugger.CallFrame): boolean {
  return functionName === RETURN_OF_TASK.function && isOwnCode(url) && RETURN_OF_TASK.file.test(url);
}

/** In the same task, though it may have awaited something in between; outside of tasks, in the same work. */
export function isSame(one: Answer, other: Answer): boolean {
  const [task, laterTask] = [one, other].map(({ whereabouts }) => whereabouts?.task?.id);
  return task === undefined ? other.whereabouts?.isStillSeen === true : task === laterTask;
}
