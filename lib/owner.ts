/** What a task was added to: a response's list, or the instance itself. */
import type { BlockedRequest } from './watchdog/block.ts';

export interface Owner<Runtime = unknown> {
  /** What all tasks of the instance share: two owners of one instance have the same. */
  readonly runtime: Runtime;
  /** The request that a response's list belongs to, in words. */
  readonly request?: BlockedRequest;
}
