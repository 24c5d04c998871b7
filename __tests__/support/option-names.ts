/** The names of all options, as the rules have them that options are checked by. */
import { workerRules } from '../../lib/options/create-worker.ts';
import { middlewareRules } from '../../lib/options/middleware.ts';
import type { Rule } from '../../lib/options/rules.ts';
import { addRules, blockingRules, durableTaskRules, taskRules } from '../../lib/options/task.ts';

const { pool, processes, watchdog, durable, work, retry } = middlewareRules;

export const optionNames = {
  middleware: Object.keys(middlewareRules),
  worker: Object.keys(workerRules),
  definedTask: Object.keys(taskRules),
  addedTask: Object.keys(addRules),
  task: Object.keys(blockingRules),
  durableTask: Object.keys(durableTaskRules),
  pool: namesIn(pool),
  poolLimits: namesIn(pool.fields?.['resourceLimits']),
  processes: namesIn(processes),
  processLimits: namesIn(processes.fields?.['resourceLimits']),
  watchdog: namesIn(watchdog),
  durable: namesIn(durable),
  work: namesIn(work),
  retry: namesIn(retry),
};

/** Those of an option that is an object. */
function namesIn(rule: Rule | undefined): string[] {
  if (rule?.fields === undefined) throw new Error('Expected the rules of an object.');
  return Object.keys(rule.fields);
}
