import dns from 'node:dns';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../../src/config/load';
import { parseServiceUrl } from '../../src/config/url';
import { MongoStore } from '../../src/stores/mongodb';
import { connectionOf as mysqlConnectionOf } from '../../src/stores/mysql/connection';
import { connectionOf } from '../../src/stores/postgres/connection';
import { waitFor } from '../support/wait';

const CERTIFICATE = join(__dirname, '../fixtures/tls/cert.pem');
const FILE = encodeURIComponent(CERTIFICATE);
const TLS_HANDSHAKE = 0x16;

const postgres = (text: string) => connectionOf(parseServiceUrl(text, ['postgres']), 'STORE_URL');
const mysql = (text: string) => mysqlConnectionOf(parseServiceUrl(text, ['mysql']), 'STORE_URL');

describe('schemes', () => {
  it.each([
    ['STORE_URL', 'postgresql://u:p@h/db', 'postgres'],
    ['QUEUE_URL', 'postgresql://u:p@h/db', 'postgres'],
    ['STORE_URL', 'mariadb://u:p@h/db', 'mysql'],
    ['STORE_URL', 'mongodb+srv://u:p@c.example.net/offline', 'mongodb'],
  ])('%s=%s', (key, text, scheme) => {
    for (const config of [loadConfig({ [key]: text }), loadConfig({ CONFIG_FILE: 'x.yaml' }, () => `${key}: ${text}`)]) {
      expect((key === 'STORE_URL' ? config.store : config.queue).scheme).toBe(scheme);
    }
  });

  it('an own statement is taken for postgresql:// as for postgres://', () => {
    expect(() =>
      loadConfig({ STORE_URL: 'postgresql://h/d', STORE_SQL_DELETE_MESSAGE: 'delete from mqtt_msg where msgid = ${id}' }),
    ).not.toThrow();
  });

  it('one that no queue has is refused as it is written', () => {
    expect(() => loadConfig({ QUEUE_URL: 'mongodb+srv://u:hunter2@h/db' })).toThrow(ConfigError);
    expect(() => loadConfig({ QUEUE_URL: 'mongodb+srv://u:hunter2@h/db' })).toThrow(
      /^QUEUE_URL: has the scheme "mongodb\+srv"; allowed are (?!.*hunter2)/,
    );
  });
});

describe('postgres', () => {
  it('takes what Neon, DigitalOcean and Supabase print', () => {
    expect(postgres('postgresql://u:p%40@ep-x.aws.neon.tech/neondb?sslmode=require&channel_binding=require')).toEqual({
      ...{ host: 'ep-x.aws.neon.tech', port: 5432, user: 'u', password: 'p@', database: 'neondb' },
      ...{ ssl: { rejectUnauthorized: true }, enableChannelBinding: true },
    });
    expect(postgres('postgresql://h:25060/defaultdb?sslmode=require')).toMatchObject({ port: 25060, ssl: { rejectUnauthorized: true } });
    expect(postgres('postgres://h/db?connect_timeout=10')).toMatchObject({ connectionTimeoutMillis: 10_000 });
    expect(postgres('postgres://h/db?connect_timeout=0')).not.toHaveProperty('connectionTimeoutMillis');
    expect(postgres('postgres://h/db?target_session_attrs=read-write&channel_binding=prefer')).toEqual({
      host: 'h',
      port: 5432,
      database: 'db',
    });
    expect(postgres('postgres://h/db?options=endpoint%3Dx&application_name=a&client_encoding=UTF8')).toMatchObject({
      options: 'endpoint=x',
      application_name: 'a',
      client_encoding: 'UTF8',
    });
  });

  it.each(['allow', 'prefer', 'require', 'verify-ca', 'verify-full'])('sslmode=%s verifies', (mode) => {
    expect(postgres(`postgres://h/db?sslmode=${mode}`).ssl).toEqual({ rejectUnauthorized: true });
    for (const name of ['ca', 'sslrootcert']) {
      expect(postgres(`postgres://h/db?sslmode=${mode}&${name}=${FILE}`).ssl).toMatchObject({
        ca: expect.any(Buffer) as Buffer,
        rejectUnauthorized: true,
      });
    }
  });

  it('sslmode=disable, sslrootcert=system, and nothing', () => {
    expect(postgres('postgres://h/db?sslmode=disable').ssl).toBe(false);
    expect(postgres('postgres://h/db?sslmode=verify-full&sslrootcert=system').ssl).toEqual({ rejectUnauthorized: true });
    expect(postgres('postgres://h/db')).not.toHaveProperty('ssl');
  });

  it.each([
    ['sslmode=no-verify', /sslmode=no-verify is not supported: certificates are always verified; set ca= to the file/],
    ['sslmode=on', /sslmode=on is not supported; use one of disable, allow/],
    ['sslmode=disable&ca=x', /contradict/],
    ['ca=x&sslrootcert=x', /one of them is enough/],
    ['sslmode=require&sslrootcert=/absent', /the file of sslrootcert= can't be read \(ENOENT\)/],
    ['sslmode=require&sslkey=/absent', /the file of sslkey= can't be read \(ENOENT\)/],
    ['channel_binding=require', /needs TLS: add sslmode=require/],
    ['channel_binding=yes', /channel_binding=yes is not supported/],
    ['connect_timeout=soon', /whole number of seconds/],
    ['target_session_attrs=standby', /target_session_attrs=standby is not supported; use one of any, read-write, primary/],
  ])('%s is refused', (query, reason) => expect(() => postgres(`postgres://h/db?${query}`)).toThrow(reason));
});

describe('mysql', () => {
  it.each(['REQUIRED', 'verify_identity', 'PREFERRED'])('ssl-mode=%s verifies', (mode) => {
    expect(mysql(`mysql://h/db?ssl-mode=${mode}`)).toMatchObject({ ssl: { rejectUnauthorized: true, verifyIdentity: true } });
    for (const name of ['ca', 'ssl-ca'])
      expect(mysql(`mysql://h/db?ssl-mode=${mode}&${name}=${FILE}`)).toMatchObject({
        ssl: { ca: expect.any(Buffer) as Buffer, rejectUnauthorized: true },
      });
  });

  it('ssl-mode=DISABLED', () => expect(mysql('mariadb://h/db?ssl-mode=DISABLED')).not.toHaveProperty('ssl'));

  it.each([
    ['ssl-mode=maybe', /ssl-mode= must be one of DISABLED/],
    ['ssl-mode=REQUIRED&tls=true', /one of them is enough/],
    ['ca=x&ssl-ca=x', /one of them is enough/],
    ['ssl-mode=DISABLED&ssl-ca=x', /contradict/],
  ])('%s is refused', (query, reason) => expect(() => mysql(`mysql://h/db?${query}`)).toThrow(reason));
});

describe('mongodb+srv', () => {
  const open = (path: string) => new MongoStore(parseServiceUrl(`mongodb+srv://u:hunter2@c.example.net/${path}`, ['mongodb']));
  const answer = (records: unknown) =>
    jest
      .spyOn(dns.promises, 'resolve')
      .mockImplementation(((_name: string, type: string) =>
        type === 'SRV'
          ? Promise.resolve(records)
          : Promise.reject(Object.assign(new Error('no TXT'), { code: 'ENODATA' }))) as typeof dns.promises.resolve);
  afterEach(() => jest.restoreAllMocks());

  it('connects to the hosts that DNS has, with TLS', async () => {
    const firstBytes: (number | undefined)[] = [];
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined).once('data', (data) => firstBytes.push(data[0]));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const looked = answer([{ name: 'n1.example.net', port: (server.address() as AddressInfo).port, priority: 0, weight: 0 }]);
    const lookup = jest
      .spyOn(dns, 'lookup')
      .mockImplementation(((_host: string, options: { all?: boolean }, callback: (...args: unknown[]) => void) =>
        options.all === true ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4)) as never);
    const store = open('offline');
    const health = store.health();
    await waitFor('a connection', () => firstBytes.length > 0);
    sockets.forEach((socket) => socket.destroy());
    await store.close();
    await health;
    server.close();
    expect(looked).toHaveBeenCalledWith('_mongodb._tcp.c.example.net', 'SRV');
    expect(lookup.mock.calls[0]?.[0]).toBe('n1.example.net');
    expect(new Set(firstBytes)).toEqual(new Set([TLS_HANDSHAKE]));
  });

  it('says what else to write when DNS does not know it', async () => {
    jest
      .spyOn(dns.promises, 'resolve')
      .mockRejectedValue(Object.assign(new Error('querySrv ENOTFOUND _mongodb._tcp.c.example.net'), { code: 'ENOTFOUND' }));
    const store = open('offline');
    const { detail } = await store.health();
    await store.close();
    expect(detail).toMatch(
      /^STORE_URL: the DNS look-up of mongodb\+srv:\/\/ failed \(querySrv ENOTFOUND .*or write mongodb:\/\/ with each host/,
    );
    expect(detail).not.toContain('hunter2');
  });

  it('must name the database, which Atlas leaves out', () =>
    expect(() => open('?retryWrites=true')).toThrow(/names no database; write it after the host/));
});
