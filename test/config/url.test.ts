import { inspect } from 'node:util';
import { parseServiceUrl, redactUrl } from '../../src/config/url';

const SCHEMES = ['embedded', 'postgres', 'redis', 'redis+cluster', 'redis+sentinel', 'cassandra', 'dynamodb', 'influxdb'];
const parse = (text: string) => parseServiceUrl(text, SCHEMES);
const parts = (text: string) => {
  const { scheme, hosts, port, user, password, path, params } = parse(text);
  return { scheme, hosts, port, user, password, path, params };
};
const NOTHING = { port: null, user: null, password: null, path: '', params: {} };

test('embedded: has no host, user or parameters', () => {
  expect(parts('embedded:')).toEqual({ ...NOTHING, scheme: 'embedded', hosts: [] });
  for (const text of ['embedded://', 'embedded:/data', 'embedded:x']) expect(() => parse(text)).toThrow(/DATA_DIR/);
});

test('a service URL is split and percent-decoded', () => {
  expect(parts('postgres://us%40er:p%2F%40%3A%25@db.example:5433/offline%20store?ssl=true&x&y=a%26b')).toEqual({
    scheme: 'postgres',
    hosts: [{ host: 'db.example', port: 5433 }],
    port: 5433,
    user: 'us@er',
    password: 'p/@:%',
    path: 'offline store',
    params: { ssl: 'true', x: '', y: 'a&b' },
  });
});

test.each([
  ['redis://h', { hosts: [{ host: 'h', port: null }] }],
  ['redis://:secret@h/2', { password: 'secret', path: '2', user: null }],
  ['redis://user@h', { user: 'user', password: null }],
  ['redis://u:a@b@h', { user: 'u', password: 'a@b', hosts: [{ host: 'h', port: null }] }],
  [
    'redis+cluster://a:7000,b:7001,c',
    {
      hosts: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
        { host: 'c', port: null },
      ],
    },
  ],
  ['redis+sentinel://a,b/master', { path: 'master' }],
  ['cassandra://h1,h2/keyspace?dc=dc1', { path: 'keyspace', params: { dc: 'dc1' } }],
  [
    'dynamodb://eu-west-1?endpoint=http%3A%2F%2F127.0.0.1%3A8000',
    { hosts: [{ host: 'eu-west-1', port: null }], params: { endpoint: 'http://127.0.0.1:8000' } },
  ],
  ['dynamodb://eu-west-1?endpoint=http://127.0.0.1:8000', { params: { endpoint: 'http://127.0.0.1:8000' } }],
  [
    'redis://[::1]:6380,[fe80::1]',
    {
      hosts: [
        { host: '::1', port: 6380 },
        { host: 'fe80::1', port: null },
      ],
    },
  ],
])('%s', (text, expected) => expect(parts(text)).toMatchObject(expected));

test.each(['', 'nonsense', 'mysql://h', 'REDIS://h', 'http://h'])('the error about %j names the allowed schemes', (text) => {
  expect(() => parse(text)).toThrow(/allowed are embedded:, postgres:\/\/, redis:\/\//);
});

test.each([
  ...[
    'redis://',
    'redis:h',
    'redis:',
    'redis://h:0',
    'redis://h:65536',
    'redis://h:x',
    'redis://a,,b',
    'redis://h h',
    'redis://[::1',
    'redis://h/%zz',
  ],
  ...['redis://u:p/w@h', 'redis://h#x'],
])('%s is refused', (text) => expect(() => parse(text)).toThrow(RangeError));

test('a parsed URL shows no secret in errors or output', () => {
  for (const text of [
    'redis://u:hunter2/x@h',
    'redis://u:hunter2%zz@h',
    'redis://:hunter2@',
    'nope://u:hunter2@h',
    'redis://u:hunter2@h:x',
  ]) {
    let message = '';
    try {
      parse(text);
    } catch (error) {
      message = String((error as Error).stack);
    }
    expect(message).not.toBe('');
    expect(message).not.toContain('hunter2');
    expect(redactUrl(text)).not.toContain('hunter2');
  }
  const url = parse('influxdb://user:hunter2@h:1/p?token=hunter2&bucket=b&%70assword=hunter2');
  for (const shown of [
    String(url),
    inspect(url, { depth: 9 }),
    inspect({ url }),
    JSON.stringify({ url }),
    JSON.stringify({ ...url }),
    `${url.toString()}`,
  ]) {
    expect(shown).not.toContain('hunter2');
  }
  expect(String(url)).toBe('influxdb://user:***@h:1/p?token=***&bucket=b&%70assword=***');
  expect(url.href()).toContain('hunter2');
  expect(url.params['token']).toBe('hunter2');
  expect(redactUrl('redis://h:6379/0')).toBe('redis://h:6379/0');
});
