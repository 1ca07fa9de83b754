import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { RetryableError } from '../../src/base/errors';
import { caFile, withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { joinRealms } from '../support/one-realm';
import { storeOf, TestTables } from './dynamodb-tables';
import { SILENCE_MS, SilentProxy } from './silent-proxy';

const url = (query: string, login = '', region = 'eu-central-1') => `dynamodb://${login}${region}${query}`;

describe('dynamodb settings', () => {
  beforeAll(joinRealms);

  it.each([
    ['a region that can’t be', url('', '', 'frankfurt'), /^STORE_URL: "frankfurt" is no AWS region/],
    ['an unknown parameter', url('?table=x'), /^STORE_URL: \?table= is unknown; known are endpoint, prefix, ca/],
    ['tls=', url('?tls=true'), /TLS is by the endpoint's https/],
    ['a port', url('', '', 'eu-central-1:8000'), /must be dynamodb:\/\/region/],
    ['a path', url('/mqtt'), /must be dynamodb:\/\/region/],
    ['a key without a secret', url('', 'AKIA@'), /needs both ACCESS_KEY:SECRET/],
    ['a secret without a key', url('', ':wrong@'), /needs both ACCESS_KEY:SECRET/],
    ['an endpoint that is no URL', url('?endpoint=localhost:8000'), /endpoint= must be an http/],
    ['an endpoint with credentials', url('?endpoint=http://a:wrong@localhost:8000'), /must not hold credentials/],
    ['a prefix that no table can have', url('?prefix=a/'), /prefix= may have letters/],
    ['a ca for Amazon’s own endpoint', url(`?ca=${__filename}`), /ca= needs an endpoint= that begins with https/],
    ['a ca without TLS', url(`?endpoint=http://localhost:8000&ca=${__filename}`), /ca= needs an endpoint= that begins with https/],
    ['a ca that is not there', url('?endpoint=https://localhost:8000&ca=/absent'), /file of ca= can't be read \(ENOENT\)/],
  ])('refuse %s', (_, wrong, expected) => {
    expect(() => storeOf(wrong)).toThrow(expected);
    expect(() => storeOf(wrong)).not.toThrow(/wrong/);
  });

  it('take a region of Amazon’s, any of another server, and credentials with special characters', async () => {
    for (const right of [url(''), url('', '', 'us-gov-west-1'), url('?endpoint=http://localhost:8000', 'a:b%2F%2B@', 'local')])
      await storeOf(right).close();
  });

  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const tables = new TestTables(server, `settings_${process.pid}_`);
    afterAll(() => tables.drop());
    const { port } = new URL(tables.endpoint);

    const ailing = async (store: ReturnType<TestTables['open']>): Promise<string> => {
      const { ok, detail } = await answeredHealth(store);
      await store.close();
      expect(ok).toBe(false);
      expect(detail).toMatch(/^STORE_URL: [^\n]+$/);
      expect(detail).not.toContain('wrong');
      return detail;
    };

    it('names the setting when the tables are missing, and what to do', async () => {
      expect(await ailing(tables.open())).toMatch(/version 0 of 13: check region and prefix=, or run "emqx-offline-store migrate"/);
      const store = tables.open();
      await expect(store.getMessage('x')).rejects.toThrow(/a table is missing.*migrate/);
      await expect(store.getMessage('x')).rejects.toThrow(RetryableError);
      await store.close();
    });

    it.each([
      [
        'an endpoint where nothing listens',
        { endpoint: 'http://127.0.0.1:1' },
        /cannot connect to DynamoDB \(connect ECONNREFUSED.*endpoint=/,
      ],
      [
        'a name with several addresses where nothing listens',
        { endpoint: 'http://localhost:1' },
        /cannot connect to DynamoDB \(connect ECONNREFUSED.*endpoint=/,
      ],
      ['a name that is not there', { endpoint: 'http://absent.invalid' }, /cannot connect to DynamoDB \(getaddrinfo.*endpoint=/],
    ])('names the setting for %s', async (_, params, expected) => {
      expect(await ailing(tables.open(params))).toMatch(expected);
    });

    it('names the setting for a server without TLS', async () => {
      expect(await ailing(tables.open({ endpoint: `https://127.0.0.1:${port}` }))).toMatch(/speaks no TLS.*http:\/\//);
    });

    it('names the setting for a login that is refused', async () => {
      expect(await ailing(tables.open({}, 'no-such-key:wrong@'))).toMatch(/rejected the login.*check access key and secret/);
    });

    it('names the setting when there are no credentials', async () => {
      const before = { ...process.env };
      for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
      Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true', AWS_SHARED_CREDENTIALS_FILE: '/absent', AWS_CONFIG_FILE: '/absent' });
      try {
        expect(await ailing(tables.open({}, ''))).toMatch(/no AWS credentials.*ACCESS_KEY:SECRET@/);
      } finally {
        process.env = before;
      }
    });

    it('works without credentials in the URL where the environment has some', async () => {
      const before = { ...process.env };
      Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
      try {
        const store = tables.open({}, '');
        await store.migrate();
        expect(await answeredHealth(store)).toEqual({ ok: true, detail: 'DynamoDB us-east-1, schema 13' });
        await store.close();
      } finally {
        process.env = before;
      }
    });

    describe('TLS', () => {
      let front: Server;
      let endpoint: string;
      beforeAll(async () => {
        const file = (name: string) => readFileSync(join(dirname(caFile()), name));
        front = createServer({ cert: file('server.pem'), key: file('server.key') }, (socket) => {
          const upstream = connect(Number(port), '127.0.0.1');
          socket.pipe(upstream).pipe(socket);
          socket.on('error', () => upstream.destroy());
          upstream.on('error', () => socket.destroy());
        });
        front.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
        await once(front, 'listening');
        endpoint = `https://localhost:${(front.address() as AddressInfo).port}`;
      });
      afterAll(() => front.close());

      it('is verified with the authority of ca=', async () => {
        const store = tables.open({ endpoint, ca: caFile() });
        await store.migrate();
        expect(await answeredHealth(store)).toMatchObject({ ok: true });
        const saved = message({ topic: 'tls' });
        expect(await store.saveMessages([saved])).toEqual([]);
        expect(await store.listMessages({ topic: 'tls', after: '', limit: 1, now: 0 })).toEqual([saved]);
        await store.close();
      });

      it('names the setting for a certificate of an unknown authority', async () => {
        expect(await ailing(tables.open({ endpoint }))).toMatch(/certificate is not trusted.*ca=/);
      });

      it('names the setting where it is left out', async () => {
        expect(await ailing(tables.open({ endpoint: endpoint.replace('https', 'http') }))).toMatch(
          /broke the connection off.*https:\/\/ or http:\/\//,
        );
      });
    });

    // Promise 14.
    it('works again at once after a silent outage of the server', async () => {
      const proxy = await SilentProxy.to(new URL(`http://127.0.0.1:${port}`));
      const store = storeOf(tables.url({ endpoint: proxy.url }), { requestTimeoutMs: SILENCE_MS });
      const migrating = tables.open();
      try {
        await migrating.migrate();
        await Promise.all(Array.from({ length: 5 }, () => store.getMessage('absent')));
        proxy.silent = true;
        const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.getMessage('absent')));
        for (const outcome of outcomes)
          expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(RetryableError) as RetryableError });
        // The client tries three times, and a health check waits for 3 s.
        const hasty = storeOf(tables.url({ endpoint: proxy.url }), { requestTimeoutMs: 300 });
        expect((await answeredHealth(hasty)).detail).toMatch(/^STORE_URL: .*does not answer/);
        await hasty.close();
        proxy.silent = false;
        for (let i = 0; i < 5; i++) expect(await store.getMessage('absent')).toBeNull();
      } finally {
        await Promise.all([store.close(), migrating.close()]);
        await proxy.close();
      }
    });
  });
});
