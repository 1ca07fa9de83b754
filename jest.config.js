const { availableParallelism } = require('node:os');

/** @type {import('jest').Config} */
module.exports = {
  globalSetup: '<rootDir>/test/support/probe.ts',
  globalTeardown: '<rootDir>/test/support/totals.ts',
  testSequencer: '<rootDir>/sequencer.config.js',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Clusters of several database nodes take minutes and much memory: `npm run test:clusters` runs them.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/clusters/'],
  transform: {
    '^.+\\.(ts|js|mjs)$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }],
  },
  // aedes ships as ES modules only; it and its own ESM packages are compiled for jest, nothing else is.
  transformIgnorePatterns: ['/node_modules/(?!(aedes|aedes-[a-z-]+|mqemitter|hyperid|fastparallel|fastfall)/)'],
  // A dynamic import names the compiled file; jest runs the source.
  moduleNameMapper: {
    '^(\\.{1,2}/.+/index)\\.js$': '$1',
    '^(\\.\\./(?:lanes|server)/[a-z]+)\\.js$': '$1',
    // Each property has a fixed seed.
    '^fast-check$': '<rootDir>/test/support/fast-check.ts',
  },
  // The tests wait for servers, locks and clocks for some of their time: 2 cores are busy with 3 workers. With more, tests that measure time fail.
  maxWorkers: Math.max(3, availableParallelism() - 1),
  // It ends what hangs. A busy machine may need several times as long for a test as one that does nothing else.
  testTimeout: 120000,
};
