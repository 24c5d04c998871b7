/** The async context of a place in the code, to be entered again later: what AsyncLocalStorage answers there. */
import { AsyncResource } from 'node:async_hooks';

export class AsyncContext extends AsyncResource {
  constructor() {
    super('BackgroundTask');
  }

  /** It keeps nothing alive. `jest --detectOpenHandles` asks. */
  hasRef(): boolean {
    return false;
  }
}

/** The context of nobody, in which the package was loaded: for what no request shall see as its own, though it may be one that sets it off. */
export const NOWHERE: AsyncContext = new AsyncContext();
