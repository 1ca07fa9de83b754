import { Client } from 'pg';
import { parseServiceUrl } from '../../src/config/url';
import { RetryableError } from '../../src/base/errors';
import { PostgresStore } from '../../src/stores/postgres';
import { connectionOf } from '../../src/stores/postgres/connection';
import { caFile, withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { SILENCE_MS, SilentProxy } from './silent-proxy';
import { conformance } from './conformance';

describe('postgres', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let url: Promise<string> | null = null;
    const open = async () => new PostgresStore({ connectionString: await (url ??= emptyDatabase(server, 'offline_conformance')) });

    conformance('on PostgreSQL', { open });

    // Promise 13. The guard is saveOrBisect: without it the whole batch is refused.
    it("rejects only messages that an operator's trigger rejects", async () => {
      const store = await open();
      await store.migrate();
      const client = new Client({ connectionString: (await url)! });
      await client.connect();
      await client.query(`CREATE OR REPLACE FUNCTION no_poison() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.payload = 'poison' THEN RAISE EXCEPTION 'no poison here'; END IF; RETURN NEW; END $$`);
      await client.query('CREATE OR REPLACE TRIGGER no_poison BEFORE INSERT ON mqtt_msg FOR EACH ROW EXECUTE FUNCTION no_poison()');
      await client.end();
      const batch = Array.from({ length: 20 }, (_, i) =>
        message({ topic: 'poisoned', payload: Buffer.from(i % 9 === 4 ? 'poison' : 'fine') }),
      );
      const refused = batch.filter((_, i) => i % 9 === 4);
      expect(await store.saveMessages(batch)).toEqual(
        refused.map(({ id }) => ({ id, reason: expect.stringContaining('no poison here') as string })),
      );
      const stored = await store.listMessages({ topic: 'poisoned', after: '', limit: 100, now: Date.now() });
      expect(stored.map(({ id }) => id)).toEqual(batch.filter((each) => !refused.includes(each)).map(({ id }) => id));
      await store.close();
    });

    // Promise 14. The guard is PooledConnections.drop: without it the pool's connections time out one after the other, for ever.
    it('works again at once after a silent outage of the server', async () => {
      await open().then(async (store) => (await store.migrate(), store.close()));
      const proxy = await SilentProxy.to(new URL((await url)!));
      const store = new PostgresStore({ connectionString: proxy.url, query_timeout: SILENCE_MS });
      try {
        await Promise.all(Array.from({ length: 5 }, () => store.getMessage('absent')));
        proxy.silent = true;
        const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.getMessage('absent')));
        for (const outcome of outcomes)
          expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(RetryableError) as RetryableError });
        // What was open stays silent, new connections work.
        proxy.silent = false;
        for (let i = 0; i < 5; i++) expect(await store.getMessage('absent')).toBeNull();
      } finally {
        await store.close();
        await proxy.close();
      }
    });

    it('reports a missing schema and what to do', async () => {
      const store = new PostgresStore({ connectionString: await emptyDatabase(server, 'offline_empty') });
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/STORE_URL: .*version 0.*run "emqx-offline-store migrate"/) as string,
      });
      await expect(store.getMessage('x')).rejects.toThrow(RetryableError);
      await store.close();
    });

    it.each([
      ['a wrong password', (to: URL) => (to.password = 'wrong'), /STORE_URL: .*password/],
      ['a host that is not there', (to: URL) => (to.port = '1'), /STORE_URL: .*cannot connect/],
      ['a database that is not there', (to: URL) => (to.pathname = '/absent'), /STORE_URL: .*create the database/],
    ])('names the setting for %s', async (_, change, expected) => {
      const wrong = new URL(server);
      change(wrong);
      const store = new PostgresStore({ connectionString: wrong.href });
      const { ok, detail } = await answeredHealth(store);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toContain('wrong');
      await store.close();
    });
  });
});

describe('postgres through TLS', () => {
  withBackends(['postgres-tls'], ({ 'postgres-tls': server }) => {
    const open = (query: string) =>
      new PostgresStore(connectionOf(parseServiceUrl(server.replace(/\?.*/, query), ['postgres']), 'STORE_URL'));

    it.each([`?ca=${encodeURIComponent(caFile())}`, `?sslmode=verify-full&sslrootcert=${encodeURIComponent(caFile())}`])(
      'works with %s',
      async (query) => {
        const store = open(query);
        await store.migrate();
        const saved = message({ topic: 'through tls' });
        expect(await store.saveMessages([saved])).toEqual([]);
        expect(await store.getMessage(saved.id)).toEqual(saved);
        await store.close();
      },
    );

    it.each([
      ['?tls=true', /^STORE_URL: PostgreSQL's certificate is not trusted .*give the PEM file of its certificate authority as ca=$/],
      ['', /^STORE_URL: PostgreSQL rejected the login/],
    ])('reports the error of %p', async (query, expected) => {
      const store = open(query);
      expect((await answeredHealth(store)).detail).toMatch(expected);
      await store.close();
    });

    it('rejects unknown parameters and contradictory TLS settings', () => {
      expect(() => open('?ssl=yes')).toThrow(/STORE_URL: unknown parameter ssl; known are tls, ca, sslmode/);
      expect(() => open('?tls=true&sslmode=require')).toThrow(/STORE_URL: .*one of them is enough/);
      expect(() => open('?tls=on')).toThrow(/STORE_URL: tls=on is unknown/);
      expect(() => open('?ca=/absent.pem')).toThrow(/STORE_URL: the file of ca= can't be read \(ENOENT\)/);
    });
  });
});
