import { loadConfig } from '../../src/config/load';
import { settingWarnings } from '../../src/ops/setting-warnings';

const warnings = (env: Record<string, string>): string[] =>
  settingWarnings(loadConfig(env), env).map(({ about, text, advice }) => `${about}: ${text}; ${advice}`);

const TOKEN = '0123456789abcdef';

test('correct settings cause no warning', () => {
  expect(warnings({})).toEqual([]);
  expect(warnings({ INGEST_TOKEN: TOKEN, ADMIN_TOKEN: `${TOKEN}-2`, STORE_URL: 'redis://h', PORT: '1' })).toEqual([]);
});

test.each([
  ['STORE_ULR', 'STORE_URL'],
  ['STORE_URLS', 'STORE_URL'],
  ['QUEUEURL', 'QUEUE_URL'],
  ['store_url', 'STORE_URL'],
  ['INGEST_TOKN', 'INGEST_TOKEN'],
  ['TLS_CERT_FIEL', 'TLS_CERT_FILE'],
  ['EMQX_CA_FILES', 'EMQX_CA_FILE'],
  ['CONFIGFILE', 'CONFIG_FILE'],
  ['STORE_SQL_SELECT_MESSAGES', 'STORE_SQL_SELECT_MESSAGE'],
  ['INGEST_TOKEN_FIEL', 'INGEST_TOKEN_FILE'],
  ['PROT', 'PORT'],
  ['HSOT', 'HOST'],
  ['POLICES', 'POLICIES'],
])('the unknown setting %s is reported as similar to %s', (name, known) => {
  expect(warnings({ [name]: 'x' })).toEqual([
    `${name}: is in the environment and is not a setting: the server ignores it; did you mean ${known}?`,
  ]);
});

test('other names cause no warning', () => {
  const names = [
    'HOME',
    'PATH',
    'PWD',
    'USER',
    'TERM',
    'LANG',
    'SHELL',
    'HOSTNAME',
    'HOSTTYPE',
    'POST',
    'SORT',
    'PS1',
    'NODE_ENV',
    'TZ',
    'EMQX_NAME',
  ];
  const providers = [
    'DATABASE_URL',
    'REDIS_URL',
    'MONGO_URL',
    'MYSQL_HOST',
    'PGPORT',
    'KUBERNETES_PORT',
    'STORE_PORT',
    'npm_config_cache',
    'ROOT',
    'BOOT',
  ];
  expect(warnings(Object.fromEntries([...names, ...providers].map((name) => [name, 'x'])))).toEqual([]);
});

test('equal or short tokens cause a warning', () => {
  expect(warnings({ INGEST_TOKEN: TOKEN, ADMIN_TOKEN: TOKEN })).toEqual([
    expect.stringMatching(/^ADMIN_TOKEN: is equal to INGEST_TOKEN: .*; give each its own random value$/),
  ]);
  expect(warnings({ INGEST_TOKEN: 'a', ADMIN_TOKEN: '0123456789abcde' })).toEqual([
    expect.stringMatching(/^INGEST_TOKEN: has 1 character, which can be guessed; use at least 16 random/),
    expect.stringMatching(/^ADMIN_TOKEN: has 15 characters, /),
  ]);
  // No token is quoted.
  expect(warnings({ INGEST_TOKEN: 'hunter2', ADMIN_TOKEN: 'hunter2' }).join()).not.toContain('hunter2');
});

test('policies that are never used cause a warning', () => {
  const POLICIES = JSON.stringify([
    { filter: 'a/+' },
    { filter: 'a/b' },
    { filter: 'a/b/c' },
    { filter: '#' },
    { filter: 'x', mode: 'off' },
  ]);
  expect(warnings({ POLICIES }).map((line) => line.slice(0, line.indexOf(':')))).toEqual(['policy a/b', 'policy x']);
});
