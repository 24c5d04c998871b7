/** The policies of an instance's tasks. Most tasks say nothing of their own; those that do are merged once. */

import { mergePolicy, type Policy } from './options/policy.ts';
import type { TaskOptions } from './options/task.ts';
import { NO_OPTIONS, type TaskDefinition } from './task.ts';

/** What the middleware says of tasks, and of those that an engine keeps. */
interface BasePolicies {
  readonly policy: Policy;
  readonly durable: { readonly policy: Policy };
}

export class Policies {
  readonly #base: BasePolicies;
  readonly #merged = new WeakMap<TaskDefinition, Policy>();

  constructor(base: BasePolicies) {
    this.#base = base;
  }

  /** @param options what `with` was given, the nearest level. */
  of(definition: TaskDefinition, options?: TaskOptions): Policy {
    const policy = this.#ofDefinition(definition);
    return options === undefined ? policy : mergePolicy(policy, options);
  }

  #ofDefinition(definition: TaskDefinition): Policy {
    if (definition.options === NO_OPTIONS) return this.#base.policy;
    let policy = this.#merged.get(definition);
    if (policy === undefined) {
      const base = definition.isDurable ? this.#base.durable.policy : this.#base.policy;
      policy = mergePolicy(base, definition.options);
      this.#merged.set(definition, policy);
    }
    return policy;
  }
}
