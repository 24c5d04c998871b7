/** A task as the page sees it: an outcome, an event, or the handle of a task that has not settled. */
export function viewOf(task) {
  const { id, name, state, executor, attempt, attempts, waitedMs, ranMs, delayMs, value, error, response } = task;
  return {
    id,
    // The name of a durable task begins with the name of its module.
    name: name.split('.').at(-1),
    state,
    executor,
    attempt,
    attempts,
    waitedMs,
    ranMs,
    delayMs,
    value,
    response,
    ...(error === undefined ? {} : { error: { name: error.name, code: error.code, message: error.message } }),
  };
}
