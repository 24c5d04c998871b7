/** What the main thread is asked while it is paused. The answers come through the debugger: names in strings must match the code. */
import type { Debugger } from 'node:inspector';
import type { BlockedRequest } from '../block.ts';
import type { CurrentWork } from '../stack-sample.ts';
import type { AskFrame } from './debugger-session.ts';
import { isOwnCode } from './own-code.ts';

/** `Watchdog.currentWork`. In some of Node's own frames a bare `Symbol` is out of reach. */
const CURRENT_WORK = `globalThis[globalThis.Symbol.for('express-background-tasks.watchdog')]?.currentWork`;
/** A variable in the method that a task's last code returns to: the async context of the task may be over by then. */
const AFTER_TASK = { function: '#endAfter', task: 'attempt.task' };
/** How many frames are asked, from the innermost: some of Node's own cannot answer. */
const FRAMES_TO_ASK = 6;

/** The methods of Express's layers that call a handler, in 5 and 4, and what their variables tell of the request. */
const HANDLES_REQUEST = new Set(['handleRequest', 'handle']);
const LAYER = /\/layer\.js$/;
const REQUEST = `({ method: req.method, route: req.route ? (req.baseUrl || '') + req.route.path : req.originalUrl.split('?')[0] })`;

export interface Answer {
  readonly work: CurrentWork | undefined;
  readonly request: BlockedRequest | undefined;
}

export async function askThread(ask: AskFrame, frames: readonly Debugger.CallFrame[]): Promise<Answer> {
  let work: CurrentWork | undefined;
  for (const frame of frames.slice(0, FRAMES_TO_ASK)) {
    const task = isAfterTask(frame) ? AFTER_TASK.task : '';
    work = (await ask(frame, `${CURRENT_WORK}(${task})`)) as CurrentWork | undefined;
    if (work !== undefined) break;
  }
  const handler = frames.find(({ functionName, url }) => HANDLES_REQUEST.has(functionName) && LAYER.test(url));
  const request = handler && ((await ask(handler, REQUEST)) as BlockedRequest | undefined);
  return { work, request };
}

function isAfterTask({ functionName, url }: Debugger.CallFrame): boolean {
  return functionName === AFTER_TASK.function && isOwnCode(url);
}

/** A task is the same after an `await` as well; other code only as long as its work goes on. */
export function isSameWork(one: Answer, later: Answer): boolean {
  const [task, laterTask] = [one, later].map(({ work }) => work?.task?.id);
  return task === undefined ? later.work?.isFirstSeen === true : task === laterTask;
}
