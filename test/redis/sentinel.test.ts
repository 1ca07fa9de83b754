import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseServiceUrl } from '../../src/config/url';
import { RedisQueue } from '../../src/lanes/redis';
import { connected, connectRedis } from '../../src/redis/connect';
import { RedisStore } from '../../src/stores/redis';
import { answeredHealth } from '../support/health';
import { waitFor } from '../support/wait';
import { bulk, FakeRedis, list, type Answers } from './fake-redis';

const fixture = (name: string): string => join(__dirname, '../fixtures/tls', name);
const TLS = { cert: readFileSync(fixture('cert.pem')), key: readFileSync(fixture('key.pem')) };
const CA = `ca=${encodeURIComponent(fixture('cert.pem'))}`;
const TLS_HANDSHAKE = 0x16;

const urlOf = (text: string) => parseServiceUrl(text, ['redis+sentinel']);
const masterIs =
  (master: () => FakeRedis): Answers =>
  ([name, what]) =>
    name?.toLowerCase() !== 'sentinel' ? '' : what === 'sentinels' ? list() : list(bulk('127.0.0.1'), bulk(String(master().port)));

const running: FakeRedis[] = [];
const start = async (...args: Parameters<typeof FakeRedis.start>): Promise<FakeRedis> => {
  const fake = await FakeRedis.start(...args);
  running.push(fake);
  return fake;
};
afterEach(() => Promise.all(running.splice(0).map((fake) => fake.stop())));

/** Both ways of using Redis: the store, and BullMQ's connections. */
const USERS: Record<string, (url: string) => { close(): Promise<void>; health(): Promise<{ ok: boolean; detail: string }> }> = {
  STORE_URL: (url) => new RedisStore(urlOf(url)),
  QUEUE_URL: (url) => new RedisQueue({ url: urlOf(url), onError: () => undefined }),
};

// The guards are sentinelTLS and enableTLSForSentinelMode of redis/connect.ts: without them the password leaves in clear text.
describe.each(Object.entries(USERS))('%s=redis+sentinel:// with TLS', (_setting, open) => {
  it.each(['tls=true', CA])('sends nothing unencrypted to a sentinel (%s)', async (query) => {
    const sentinel = await start(() => '');
    const user = open(`redis+sentinel://u:secretpw@127.0.0.1:${sentinel.port}/mymaster?${query}`);
    await waitFor('a connection', () => sentinel.firstBytes.length > 0);
    await user.close();
    expect(new Set(sentinel.firstBytes)).toEqual(new Set([TLS_HANDSHAKE]));
  });

  it('sends nothing unencrypted to the master', async () => {
    const master = await start(() => '');
    const sentinel = await start(
      masterIs(() => master),
      TLS,
    );
    const user = open(`redis+sentinel://u:secretpw@127.0.0.1:${sentinel.port}/mymaster?${CA}`);
    await waitFor('a connection', () => master.firstBytes.length > 0);
    await user.close();
    expect(new Set(master.firstBytes)).toEqual(new Set([TLS_HANDSHAKE]));
  });

  it('reports that the certificate of a sentinel is not trusted', async () => {
    const sentinel = await start(() => '', TLS);
    const user = open(`redis+sentinel://127.0.0.1:${sentinel.port}/mymaster?tls=true`);
    const { ok, detail } = await answeredHealth(user);
    await user.close();
    expect(ok).toBe(false);
    expect(detail).toMatch(
      /^(STORE|QUEUE)_URL: the TLS connection to the sentinel failed \(self-signed certificate\): check tls=, ca= and the name/,
    );
  });
});

describe('a sentinel with a password', () => {
  const NOAUTH = '-NOAUTH Authentication required.\r\n';
  /** As a sentinel with `requirepass`; it knows the user `default`, and no other. */
  const sentinelWith = (password: string, master: () => FakeRedis, asked: string[]): Answers => {
    const known = new WeakSet<object>();
    return (command, socket) => {
      const [name, , auth, user, given] = command;
      if (name?.toLowerCase() === 'hello' && auth === 'AUTH') {
        asked.push(`${user}:${given}`);
        if (user !== 'default' || given !== password) return '-WRONGPASS invalid username-password pair or user is disabled.\r\n';
        known.add(socket);
        return '';
      }
      return known.has(socket) ? masterIs(master)(command, socket) : NOAUTH;
    };
  };
  const ready: Answers = ([name]) => (name?.toLowerCase() === 'info' ? bulk('role:master\r\nloading:0\r\n') : '');

  async function connect(url: (port: number) => string, limitMs = 20_000): Promise<{ outcome: string; asked: string[] }> {
    const asked: string[] = [];
    const master = await start(ready);
    const sentinel = await start(sentinelWith('s3', () => master, asked));
    const client = connectRedis(urlOf(url(sentinel.port)), 'TEST', { maxRetriesPerRequest: 0 });
    client.on('error', () => undefined);
    const outcome = await connected(client, limitMs).then(
      () => 'connected',
      (error: Error) => error.message,
    );
    client.disconnect();
    return { outcome, asked };
  }

  // The guard is Sentinels.withCredentials.
  it('gets the password of the data nodes when it asks', async () => {
    expect(await connect((port) => `redis+sentinel://:s3@127.0.0.1:${port}/mymaster`)).toEqual({
      outcome: 'connected',
      asked: ['default:s3'],
    });
  });

  it('gets its own password', async () => {
    const { outcome, asked } = await connect((port) => `redis+sentinel://u:data@127.0.0.1:${port}/mymaster?sentinelPassword=s3`);
    expect({ outcome, asked }).toEqual({ outcome: 'connected', asked: ['default:s3'] });
  });

  it.each(['', ':wrong@', 'u:wrong@'])('is reported when its password is missing or wrong (%s)', async (login) => {
    const { outcome } = await connect((port) => `redis+sentinel://${login}127.0.0.1:${port}/mymaster`, 2_000);
    expect(outcome).toMatch(/^the sentinel requires a password \((NOAUTH|WRONGPASS) .*\): set sentinelPassword=/);
    expect(outcome).not.toContain('Retrying');
  });

  it("is not sent the data nodes' user when it needs no password", async () => {
    const heard: string[] = [];
    const master = await start(ready);
    const sentinel = await start((command, socket) => {
      heard.push(command.join(' '));
      return masterIs(() => master)(command, socket);
    });
    const client = connectRedis(urlOf(`redis+sentinel://u:data@127.0.0.1:${sentinel.port}/mymaster`), 'TEST', {});
    await connected(client, 20_000);
    client.disconnect();
    expect(heard.filter((each) => each.includes('data'))).toEqual([]);
  });
});

it.each([
  ['redis+sentinel://h/m?sentinelUser=u', /sentinelUser= without sentinelPassword=/],
  ['redis+sentinel://h/m?sentinel=u', /unknown parameter sentinel; known are tls, ca, sentinelUser, sentinelPassword/],
])('%s is refused', (url, reason) => {
  expect(() => new RedisQueue({ url: urlOf(url), onError: () => undefined })).toThrow(reason);
  expect(() => new RedisStore(urlOf(url))).toThrow(reason);
});
