/** @type {import('jest').Config} */
module.exports = {
  globalSetup: '<rootDir>/test/support/probe.ts',
  globalTeardown: '<rootDir>/test/support/totals.ts',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  transform: {
    '^.+\\.(ts|js|mjs)$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }],
  },
  // aedes ships as ES modules only; it and its own ESM packages are compiled for jest, nothing else is.
  transformIgnorePatterns: ['/node_modules/(?!(aedes|aedes-[a-z-]+|mqemitter|hyperid|fastparallel|fastfall)/)'],
  // A dynamic import names the compiled file; jest runs the source.
  moduleNameMapper: { '^(\\.{1,2}/.+/index)\\.js$': '$1' },
  testTimeout: 30000,
};
