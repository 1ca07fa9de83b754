import { inspect } from 'node:util';
import { ConfigError, loadConfig } from '../../src/config/load';
import { policy } from '../support/policies';

const file = (text: string) => () => text;
const load = (env: NodeJS.ProcessEnv, text?: string) =>
  text === undefined ? loadConfig(env) : loadConfig({ CONFIG_FILE: 'settings.yaml', ...env }, file(text));

function errors(env: NodeJS.ProcessEnv, text?: string): string[] {
  try {
    load(env, text);
  } catch (error) {
    return (error as ConfigError).errors.map(({ message }) => message);
  }
  return [];
}

const POLICIES = (...policies: unknown[]) => ({ POLICIES: JSON.stringify(policies) });

test('without settings every default applies', () => {
  const { store, queue, ...rest } = load({});
  expect([store.scheme, queue.scheme]).toEqual(['embedded', 'embedded']);
  expect(rest).toEqual({
    host: '127.0.0.1',
    port: 8480,
    tls: null,
    previousIngestToken: null,
    readToken: null,
    dataDir: './data',
    history: [],
    emqx: { url: 'http://127.0.0.1:18083/api/v5', version: 5, credentials: null, ca: null },
    ingestToken: null,
    adminToken: null,
    signingKey: null,
    storeSql: {},
    policies: [policy()],
    log: { level: 'info', format: 'json' },
  });
});

test('every setting can be set in the environment', () => {
  const config = load({
    HOST: '0.0.0.0',
    PORT: '0',
    DATA_DIR: '/var/lib/offline',
    STORE_URL: 'mysql://u:p@h/db',
    HISTORY_URLS: 'influxdb://a?token=x, clickhouse://h1,h2/db',
    QUEUE_URL: 'redis+cluster://a:1,b:2',
    EMQX_URL: 'https://emqx:18084/api/v4/',
    EMQX_API_KEY: 'key',
    EMQX_API_SECRET: 'secret',
    INGEST_TOKEN: 'in',
    ADMIN_TOKEN: 'ad',
    SIGNING_KEY: 'sign',
    ...POLICIES({ filter: 'a/+', mode: 'pubsub', deliverTo: 'inbox', ttl: '30s', maxStored: 1, fetch: { limit: 5, maxAge: '2h' } }),
  });
  expect([config.store.scheme, config.queue.hosts.length]).toEqual(['mysql', 2]);
  expect(config.history.map(({ scheme, hosts }) => [scheme, hosts.length])).toEqual([
    ['influxdb', 1],
    ['clickhouse', 2],
  ]);
  expect(config).toMatchObject({
    host: '0.0.0.0',
    port: 0,
    dataDir: '/var/lib/offline',
    emqx: { url: 'https://emqx:18084/api/v4', version: 4, credentials: { apiKey: 'key', apiSecret: 'secret' } },
    ingestToken: 'in',
    adminToken: 'ad',
    signingKey: 'sign',
    policies: [
      policy({ filter: 'a/+', mode: 'pubsub', deliverTo: 'inbox', ttlMs: 30_000, maxStored: 1, fetch: { limit: 5, maxAgeMs: 7_200_000 } }),
    ],
  });
});

describe('KEY_FILE', () => {
  const files: Record<string, string> = { '/run/ingest': ' hunter2\n', '/run/store': 'mysql://u:p@h/db\r\n', '/run/empty': ' \n' };
  const read = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error('absent'), { code: 'ENOENT' });
    return text;
  };
  const wrong = (env: NodeJS.ProcessEnv): string[] => {
    try {
      loadConfig(env, read);
    } catch (error) {
      return (error as ConfigError).errors.map(({ message }) => message);
    }
    return [];
  };

  test('names a file with the secret or URL, without surrounding white space', () => {
    const config = loadConfig({ INGEST_TOKEN_FILE: '/run/ingest', STORE_URL_FILE: '/run/store', ADMIN_TOKEN: ' admin \n' }, read);
    expect([config.ingestToken, config.store.scheme, config.store.path, config.adminToken]).toEqual(['hunter2', 'mysql', 'db', 'admin']);
  });

  test('can be in CONFIG_FILE; the environment takes precedence', () => {
    files['/settings'] = 'INGEST_TOKEN_FILE: /run/ingest\nADMIN_TOKEN: of-the-file';
    files['/run/admin'] = 'from-a-file';
    expect(loadConfig({ CONFIG_FILE: '/settings' }, read).ingestToken).toBe('hunter2');
    const config = loadConfig({ CONFIG_FILE: '/settings', INGEST_TOKEN: 'env', ADMIN_TOKEN_FILE: '/run/admin' }, read);
    expect([config.ingestToken, config.adminToken]).toEqual(['env', 'from-a-file']);
  });

  test('is rejected with its name', () => {
    expect(wrong({ INGEST_TOKEN_FILE: '/absent' })).toEqual(['INGEST_TOKEN_FILE: cannot read /absent: ENOENT']);
    expect(wrong({ ADMIN_TOKEN_FILE: '/run/empty' })).toEqual(['ADMIN_TOKEN_FILE: /run/empty is empty: write the value into it']);
    expect(wrong({ INGEST_TOKEN: 'a', INGEST_TOKEN_FILE: '/run/ingest' })).toEqual([
      'INGEST_TOKEN_FILE: is set, and INGEST_TOKEN is set too: set one of them',
    ]);
    expect(wrong({ QUEUE_URL_FILE: '/run/store' })[0]).toMatch(/^QUEUE_URL: .*allowed are embedded:/);
  });
});

describe('CONFIG_FILE', () => {
  const TEXT = `
PORT: 9000
DATA_DIR: /from/file
HISTORY_URLS: [influxdb://a, opentsdb://b]
INGEST_TOKEN:
POLICIES:
  - filter: t/#
    qos0: keep
    storeQos0: true
    retain: restore
    window: 5
  - filter: '#'
    mode: 'off'
`;

  test('has the same keys, and the environment takes precedence', () => {
    const config = load({ PORT: '9001', DATA_DIR: '' }, TEXT);
    expect([config.port, config.dataDir, config.ingestToken, config.history.length]).toEqual([9001, '/from/file', null, 2]);
    expect(config.policies).toEqual([
      policy({ filter: 't/#', qos0: 'keep', storeQos0: true, retain: 'restore', window: 5 }),
      policy({ mode: 'off' }),
    ]);
  });

  test('can be empty', () => {
    expect(load({}, '').port).toBe(8480);
  });

  test('with an unknown key is rejected with a suggestion', () => {
    expect(errors({}, 'STORE_ULR: "embedded:"')).toEqual(['STORE_ULR: unknown key; did you mean STORE_URL?']);
    expect(errors({}, 'host: h')).toEqual(['host: unknown key; did you mean HOST?']);
    expect(errors({}, 'COLOUR_OF_THE_LOG: red')[0]).toMatch(/unknown key; known are HOST, PORT/);
    expect(errors({}, 'POLICIES: [{filter: a, tll: 7d, fetch: {maxage: 1d}}]')).toEqual([
      'POLICIES[0].tll: unknown key; did you mean ttl?',
      'POLICIES[0].fetch.maxage: unknown key; did you mean maxAge?',
    ]);
  });

  test('of another kind is rejected without quoting it', () => {
    expect(errors({}, 'INGEST_TOKEN: "hunter2\nPORT: [').join()).not.toContain('hunter2');
    expect(errors({}, '- hunter2')).toEqual(['CONFIG_FILE: settings.yaml must contain settings, one "KEY: value" in each line']);
    expect(errors({ CONFIG_FILE: '/nonexistent/settings.yaml' })).toEqual(['CONFIG_FILE: cannot read /nonexistent/settings.yaml: ENOENT']);
  });

  test.each([
    ['INGEST_TOKEN: "hunter2\nPORT: [', 2, 8, /a closing quote, .* is missing here or on an earlier line/],
    ['PORT: 1\nHOST: a: b', 2, 7, /a second "key: value" stands on the same line/],
    ['PORT: 1\n\tHOST: x', 2, 1, /indented with a tab; use spaces/],
    ['HOST: a\nHOST: hunter2', 2, 1, /this key is set twice/],
    ['POLICIES: [{filter: a}', 1, 23, /a bracket is not closed/],
    ['PORT: 1\nPOLICIES:\n  - filter: *hunter2', 3, 13, /begins with \* and is not an alias; put the value in quotes/],
    ['HOST: @hunter2', 1, 7, /put the value in quotes/],
    ['HOST: a\n]', 2, 1, /a bracket or quote may be missing or left over/],
  ])('broken YAML is told with file, line and column: %j', (text, line, column, problem) => {
    const [message = '', ...others] = errors({}, text);
    expect(others).toEqual([]);
    expect(message).toMatch(/^CONFIG_FILE: settings\.yaml, line \d+, column \d+: the file is not valid YAML: /);
    expect(message).toContain(`line ${line}, column ${column}: `);
    expect(message).toMatch(problem);
    expect(message).not.toContain('hunter2');
  });

  test('can use YAML aliases', () => {
    expect(load({}, 'INGEST_TOKEN: &token abc\nADMIN_TOKEN: *token')).toMatchObject({ ingestToken: 'abc', adminToken: 'abc' });
  });

  test('with a number for a text setting is rejected', () => {
    expect(errors({}, 'INGEST_TOKEN: 12345')).toEqual(['INGEST_TOKEN: must be string (put it in quotes)']);
    expect(errors({}, 'PORT: 80.5')).toEqual(['PORT: must be integer']);
  });
});

test('all errors of the settings are listed at once with their keys', () => {
  const keys = errors({
    PORT: 'eighty',
    HOST: '0.0.0.0',
    STORE_URL: 'oracle://h',
    HISTORY_URLS: 'influxdb://a,mysql://b',
    QUEUE_URL: 'mysql://h',
    EMQX_URL: 'http://emqx:18083',
    EMQX_API_KEY: 'only',
    ...POLICIES({ filter: 'a#', mode: 'topic', ttl: 'long', window: 0 }, {}),
  }).map((message) => message.slice(0, message.indexOf(':')));
  expect(keys.sort()).toEqual(
    [
      ...['ADMIN_TOKEN', 'EMQX_API_SECRET', 'EMQX_URL', 'HISTORY_URLS[1]', 'INGEST_TOKEN'],
      ...['POLICIES[0].filter', 'POLICIES[0].mode', 'POLICIES[0].ttl', 'POLICIES[0].window', 'POLICIES[1].filter'],
      ...['PORT', 'QUEUE_URL', 'STORE_URL'],
    ].sort(),
  );
});

test.each<[NodeJS.ProcessEnv, RegExp]>([
  [{ PORT: '-1' }, /^PORT: must be integer/],
  [{ PORT: '65536' }, /^PORT: must be <= 65535/],
  [{ STORE_URL: 'influxdb://h' }, /^STORE_URL: .*allowed are embedded:, postgres:\/\/, timescale:\/\/, mysql:\/\/, redis.*dynamodb:\/\/$/],
  [
    { QUEUE_URL: 'mongodb://h' },
    /^QUEUE_URL: .*allowed are embedded:, redis:\/\/, rediss:\/\/, redis\+cluster:\/\/, redis\+sentinel:\/\/, postgres:\/\/$/,
  ],
  [{ HISTORY_URLS: 'embedded:' }, /^HISTORY_URLS\[0\]: .*allowed are influxdb:\/\/, opentsdb:\/\/, timescale:\/\/, clickhouse:\/\/$/],
  [{ EMQX_URL: 'emqx:18083' }, /^EMQX_URL: must be an http/],
  [{ EMQX_URL: 'http://k:hunter2@emqx/api/v5' }, /^EMQX_URL: must not contain credentials/],
  [{ EMQX_URL: 'http://emqx/api/v3' }, /^EMQX_URL: must end with \/api\/v5/],
  [{ EMQX_API_SECRET: 'hunter2' }, /^EMQX_API_KEY: is missing/],
  [{ INGEST_TOKEN: 'hunter2 x' }, /^INGEST_TOKEN: must be printable/],
  [{ POLICIES: '[' }, /^POLICIES: is not JSON/],
  [{ POLICIES: '{}' }, /^POLICIES: must be array/],
  [{ POLICIES: '[]' }, /^POLICIES: must have at least one entry/],
  [POLICIES({ filter: '$share/g/t' }), /^POLICIES\[0\]\.filter: must not be a shared subscription/],
  [POLICIES({ filter: '#', fetch: { limit: 0 } }), /^POLICIES\[0\]\.fetch\.limit: must be >= 1/],
  [POLICIES({ filter: '#', ttl: 7 }), /^POLICIES\[0\]\.ttl: must be string/],
  [POLICIES({ filter: '#', retain: 'on' }), /^POLICIES\[0\]\.retain: must be one of off, store, restore/],
  [POLICIES({ filter: '#', settle: 'sent' }), /^POLICIES\[0\]\.settle: must be one of acknowledged, delivered/],
  [POLICIES({ filter: '#', storeQos0: 'yes' }), /^POLICIES\[0\]\.storeQos0: must be boolean/],
])('%j', (env, message) => {
  expect(errors(env)).toEqual([expect.stringMatching(message)]);
  expect(errors(env).join()).not.toContain('hunter2');
});

test('a HOST that other machines can reach requires both tokens', () => {
  for (const HOST of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) expect(errors({ HOST })).toEqual([]);
  for (const HOST of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '127.0.0.1.example.org']) {
    expect(errors({ HOST })).toEqual([
      expect.stringMatching(/^INGEST_TOKEN: is required/),
      expect.stringMatching(/^ADMIN_TOKEN: is required/),
    ]);
    expect(errors({ HOST, INGEST_TOKEN: 'a', ADMIN_TOKEN: 'b' })).toEqual([]);
  }
});

test('secrets in URLs are neither in errors nor in the printed configuration', () => {
  const message = errors({ STORE_URL: 'postgres://u:hunter2@h:x/db', QUEUE_URL: 'u:hunter2@h' }).join();
  expect(message).toMatch(/STORE_URL.*QUEUE_URL/);
  expect(message).not.toContain('hunter2');
  const { store } = load({ STORE_URL: 'postgres://u:hunter2@h/db' });
  expect(inspect({ store }) + JSON.stringify({ store })).not.toContain('hunter2');
});

test('STORE_SQL_* settings are checked for their store', () => {
  const sql = { STORE_SQL_SELECT_MESSAGE: 'select * from mqtt_msg where topic = ${topic}' };
  expect(load({ STORE_URL: 'mysql://h/d', ...sql }).storeSql.SELECT_MESSAGE?.sql).toBe('select * from mqtt_msg where topic = ?');
  expect(errors({ STORE_URL: 'redis://h', ...sql })).toEqual([
    expect.stringMatching(/^STORE_SQL_SELECT_MESSAGE: is for STORE_URL with postgres:\/\/, timescale:\/\/, mysql:\/\/ only$/),
  ]);
  expect(errors({ STORE_URL: 'mysql://h/d', STORE_SQL_DELETE_MESSAGE: 'delete from m where id = ${msgid}' })[0]).toMatch(
    /^STORE_SQL_DELETE_MESSAGE: unknown variable/,
  );
});

test('INGEST_TOKEN_PREVIOUS requires INGEST_TOKEN', () => {
  expect(load({ INGEST_TOKEN: 'new', INGEST_TOKEN_PREVIOUS: 'old' })).toMatchObject({ ingestToken: 'new', previousIngestToken: 'old' });
  expect(errors({ INGEST_TOKEN_PREVIOUS: 'old' })).toEqual([
    expect.stringMatching(/^INGEST_TOKEN: is missing, while INGEST_TOKEN_PREVIOUS is set/),
  ]);
});

test('READ_TOKEN requires a different ADMIN_TOKEN', () => {
  expect(load({ ADMIN_TOKEN: 'a', READ_TOKEN: 'r' })).toMatchObject({ adminToken: 'a', readToken: 'r' });
  expect(errors({ READ_TOKEN: 'r' })).toEqual([expect.stringMatching(/^ADMIN_TOKEN: is missing, while READ_TOKEN is set/)]);
  expect(errors({ ADMIN_TOKEN: 'r', READ_TOKEN: 'r' })).toEqual(['READ_TOKEN: must not be the same as ADMIN_TOKEN']);
  expect(errors({ ADMIN_TOKEN: 'a', INGEST_TOKEN: 'r', READ_TOKEN: 'r' })).toEqual(['READ_TOKEN: must not be the same as INGEST_TOKEN']);
  expect(errors({ ADMIN_TOKEN: 'a', READ_TOKEN: 'two words' })).toHaveLength(1);
});
