import importX, { createNodeResolver } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** The floors of the house, from the lowest: a folder imports from those above it in this list only. docs/architecture.md says what each is for. */
const FLOORS = [
  ...['base', 'mqtt', 'config', 'contract', 'events', 'policies'],
  ...['redis', 'embedded', 'bullmq-lmdb', 'stores', 'history', 'emqx'],
  ...['lanes', 'dead-letters', 'mailbox', 'writes', 'door', 'http'],
  ...['ops', 'server', 'doctor', 'cli', 'main.ts'],
];

/** The console runs in a browser: it shares the API's types with the server and nothing else. */
const CONSOLE = [
  {
    target: './src/console',
    from: FLOORS.filter((floor) => floor !== 'contract').map((floor) => `./src/${floor}`),
    message: 'The console must not import from the server.',
  },
  {
    target: FLOORS.map((floor) => `./src/${floor}`),
    from: './src/console',
    message: 'The server must not import from the console.',
  },
];

const zones = FLOORS.map((floor, i) => ({
  target: `./src/${floor}`,
  from: FLOORS.slice(i + 1).map((higher) => `./src/${higher}`),
  message: 'A lower folder must not import from a higher one (FLOORS in eslint.config.mjs).',
})).filter(({ from }) => from.length > 0);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.scratch/', 'src/contract/openapi.ts', '**/*.config.*'] },
  ...tseslint.configs.recommended,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['docker/*.mjs'] }, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['src/**/*.{ts,tsx}'],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts', '.tsx', '.js'] })],
      'import-x/extensions': ['.ts', '.tsx'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts', '.tsx'] },
    },
    rules: {
      'import-x/no-restricted-paths': ['error', { basePath: import.meta.dirname, zones: [...zones, ...CONSOLE] }],
      'import-x/no-cycle': 'error',
    },
  },
);
