/** What the server's watchdog reports: what has blocked the event loop, for how long, and where. */
import { element, milliseconds } from './dom.js';

const SHOWN = 5;

const byId = (id) => document.getElementById(id);
const sum = { times: 0, totalMs: 0, longestMs: 0 };

export function showBlock(block) {
  sum.times += 1;
  sum.totalMs += block.blockedMs;
  sum.longestMs = Math.max(sum.longestMs, block.blockedMs);
  const times = sum.times === 1 ? 'once' : `${sum.times} times`;
  byId('watchdog-sum').textContent =
    `The event loop was blocked ${times} since this page was opened, for ${milliseconds(sum.totalMs)} in all, ` +
    `${milliseconds(sum.longestMs)} at most.${sum.times > SHOWN ? ` The last ${SHOWN}:` : ''}`;
  const reports = byId('watchdog-reports');
  reports.prepend(reportOf(block));
  if (reports.children.length > SHOWN) reports.lastChild.remove();
  byId('watchdog').hidden = false;
}

function reportOf(block) {
  const { blockedMs, waitingRequests, stack, call } = block;
  const waited = waitingRequests === 1 ? '1 request' : `${waitingRequests} requests`;
  const report = element('li', {}, element('b', {}, whoOf(block)), ' for ', element('b', {}, milliseconds(blockedMs)));
  if (call !== undefined) report.append(`, in ${call}`);
  report.append(`; ${waited} waited in the server`);
  if (stack.length > 0) report.append(element('pre', {}, stack.map(lineOf).join('\n')));
  return report;
}

function whoOf({ cause, task, request }) {
  switch (cause) {
    case 'task':
      return `task ${task.name}`;
    case 'request':
      return `the handler of ${request.method} ${request.route}`;
    case 'garbage-collection':
      return 'a garbage collection';
    case 'load':
      return 'many short pieces of work';
    default:
      return 'code outside of tasks';
  }
}

function lineOf({ function: name, file, line }) {
  return `at ${name} (${file}:${line})`;
}
