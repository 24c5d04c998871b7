/** The `./testing` entry: run tasks without threads or not at all, see what was added, wait, and assert. */
export { type TaskMatcher, type TaskMatchers, taskMatchers } from './testing/matchers.ts';
export { type AddedTask, type TaskWatcher, watchTasks } from './testing/watch-tasks.ts';
