import { errors } from 'cassandra-driver';
import { join } from 'node:path';
import { RefusedError, RetryableError, SettingError } from '../../src/base/errors';
import { CassandraStore } from '../../src/stores/cassandra';
import { mapError } from '../../src/stores/cassandra/errors';
import { settingsOf } from '../support/keyspace';

/** Any certificate will do: the settings are read here, nothing is connected. */
const CA_FILE = join(__dirname, '../fixtures/tls/cert.pem');

describe('cassandra settings', () => {
  it('come from the URL', () => {
    expect(settingsOf('cassandra://me:p%40ss@h1:9043,h2,[::1]:9044/keys?dc=dc1')).toEqual({
      ...{ contactPoints: ['h1:9043', 'h2:9042', '[::1]:9044'], keyspace: 'keys', datacenter: 'dc1', consistency: 'local_quorum' },
      ...{ credentials: { username: 'me', password: 'p@ss' }, tls: null },
    });
    expect(settingsOf(`cassandra://h/k?dc=d&consistency=one&ca=${encodeURIComponent(CA_FILE)}`)).toMatchObject({
      ...{ consistency: 'one', credentials: null, tls: { ca: expect.any(Buffer) as Buffer } },
    });
    expect(settingsOf('cassandra://h/k?dc=d&tls=true').tls).toEqual({});
  });

  it.each([
    ['cassandra://h/k', /add \?dc=/],
    ['cassandra://h/k?dc=', /add \?dc=/],
    ['cassandra://h?dc=d', /name the keyspace/],
    ['cassandra://h/a-b?dc=d', /name the keyspace/],
    ['cassandra://h/k?dc=d&consistency=any', /consistency=any is unknown; write one of local_quorum/],
    ['cassandra://h/k?dc=d&datacenter=d', /knows no \?datacenter=; known are dc, consistency, tls, ca/],
    ['cassandra://h/k?dc=d&tls=yes', /tls=yes is unknown/],
    ['cassandra://h/k?dc=d&ca=/nowhere/ca.pem', /can't be read/],
  ])('are refused: %s', (url, reason) => {
    expect(() => settingsOf(url)).toThrow(SettingError);
    expect(() => settingsOf(url)).toThrow(reason);
    expect(() => settingsOf(url)).toThrow(/^STORE_URL: /);
  });

  it.each([
    ['local_quorum', true],
    ['quorum', true],
    ['all', true],
    ['one', false],
    ['local_one', false],
  ])('with consistency=%s what was written is read: %p', async (consistency, expected) => {
    const store = new CassandraStore(settingsOf(`cassandra://h/k?dc=d&consistency=${consistency}`));
    expect(store.capabilities).toEqual({ readYourWrites: expected, tombstones: true });
    await store.close();
  });
});

describe('cassandra errors', () => {
  const response = (code: number, text: string) => new errors.ResponseError(code, text);

  it.each([
    [0x2200, 'Key length of 65536 is longer than maximum of 65535'],
    [0x2200, 'Request is too big: length 17825845 exceeds maximum allowed length 16777216.'],
    [0x2200, 'Value of column payload has size 2MiB, this exceeds the failure threshold of 1MiB.'],
  ])('%d %s is about the message', (code, text) => {
    const error = mapError(response(code, text));
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.message).toBe(text);
  });

  it.each([
    [0x2200, 'table mqtt_msg does not exist', /migrate/],
    [0x2200, 'Undefined column name username in table k.mqtt_msg', /migrate/],
    [0x2200, "Keyspace 'k' does not exist", /CREATE KEYSPACE k/],
    [0x0100, 'Provided username and/or password are incorrect', /check user and password/],
    [0x2100, 'User u has no MODIFY permission on <table k.mqtt_msg>', /more rights/],
    [0x1000, 'Not enough nodes are alive to satisfy required consistency level: 2 nodes required but only 1 alive', /too few replicas/],
    [0x1001, 'overloaded', /overloaded/],
    [0x1100, 'timed out', /timed out/],
    [0x1300, 'Operation failed', /failed/],
  ])('%d %s is about the server', (code, text, expected) => {
    const error = mapError(response(code, text));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toMatch(expected);
  });

  it('what the hosts say is told in one line, a setting before a host that is away', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:9042'), { code: 'ECONNREFUSED' });
    const login = new errors.AuthenticationError('Authentication provider not set');
    expect(mapError(new errors.NoHostAvailableError({ a: refused })).message).toBe(
      'cannot connect to Cassandra (connect ECONNREFUSED 10.0.0.1:9042): check host and port, and whether the server wants TLS (tls=true)',
    );
    expect(mapError(new errors.NoHostAvailableError({ a: refused, b: login })).message).toMatch(
      /rejected the login.*check user and password/,
    );
  });
});
