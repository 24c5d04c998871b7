/** The `./testing/engine` entry: an engine in memory for tests, and the suite that every engine must pass. */
export type * from './durable/engine.ts';
export type { EngineUnderTest, MakeEngine } from './testing/conformance/rig.ts';
export { type ConformanceOptions, type EngineCase, engineConformance } from './testing/conformance.ts';
export {
  type EngineMethod,
  type MemoryEngine,
  type MemoryEngineOptions,
  memoryEngine,
} from './testing/memory-engine.ts';
