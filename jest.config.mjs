import { availableParallelism } from 'node:os';

export default {
  testMatch: ['<rootDir>/__tests__/**/*.test.ts'],
  // `npm run test:engines` runs those.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/__tests__/engines/'],
  transform: { '\\.ts$': '@swc/jest' },
  moduleNameMapper: {
    '^express-background-tasks$': '<rootDir>/dist/cjs/index.js',
    '^express-background-tasks/testing$': '<rootDir>/dist/cjs/testing.js',
    '^express-background-tasks/testing/engine$': '<rootDir>/dist/cjs/testing-engine.js',
    '^express-background-tasks/bullmq$': '<rootDir>/dist/cjs/bullmq.js',
    '^express-background-tasks/pg-boss$': '<rootDir>/dist/cjs/pg-boss.js',
  },
  testTimeout: 30_000,
  // Many tests wait for a thread, a process or a time limit: one more worker than cores has work meanwhile. Not beside the
  // servers of `npm run test:engines`, which want the cores as well.
  maxWorkers: availableParallelism() + (process.env.ENGINE_PROOF === undefined ? 1 : 0),
  // jest keeps the modules of all files that a worker has run: in a large heap collections and the watchdog's samples take longer.
  workerIdleMemoryLimit: '120MB',
};
