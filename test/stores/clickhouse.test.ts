import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { RetryableError, SettingError } from '../../src/base/errors';
import { caFile, withBackends } from '../support/backends';
import { CLICKHOUSES, clickHouseUrl, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { answeredHealth } from '../support/health';
import { message, newId } from '../support/messages';
import { TlsProxy } from '../support/tls-proxy';
import { conformance } from './conformance';
import { SilentProxy } from './silent-proxy';

describe.each(CLICKHOUSES)('%s', (backend, name) => {
  withBackends([backend], (urls) => {
    const server = urls[backend];
    let url: Promise<string> | null = null;
    const fresh = () => (url ??= emptyClickHouse(server, 'offline_conformance'));
    const open = async () => openClickHouse(await fresh());
    const changed = (change: (to: URL) => void) => {
      const to = new URL(server);
      change(to);
      return to.href;
    };

    conformance(`on ${name}`, { open });

    // Promise 13. The guard is saveOrBisect: without it the whole batch is refused.
    it("rejects only messages that an operator's column rejects", async () => {
      const sql = new Sql(await emptyClickHouse(server, 'offline_refusals'));
      const store = openClickHouse(Object.assign(new URL(server), { pathname: '/offline_refusals' }).href);
      await store.migrate();
      await sql.run(`ALTER TABLE mqtt_msg ADD COLUMN guard UInt8 DEFAULT throwIf(payload = 'poison')`);
      const batch = Array.from({ length: 20 }, (_, i) =>
        message({ topic: 'poisoned', payload: Buffer.from(i % 9 === 4 ? 'poison' : 'fine') }),
      );
      const refused = batch.filter((_, i) => i % 9 === 4);
      expect(await store.saveMessages(batch)).toEqual(
        refused.map(({ id }) => ({ id, reason: expect.stringContaining('throwIf') as string })),
      );
      const stored = await store.listMessages({ topic: 'poisoned', after: '', limit: 100, now: Date.now() });
      expect(stored.map(({ id }) => id)).toEqual(batch.filter((each) => !refused.includes(each)).map(({ id }) => id));
      await Promise.all([store.close(), sql.close()]);
    });

    it('replaces a position of an earlier release by the first version, whatever the clock was then', async () => {
      const [sql, store] = [new Sql(await fresh()), await open()];
      await store.migrate();
      const position = { consumer: 'upgraded', topic: 't', id: newId(), receipts: [] };
      await sql.run(`INSERT INTO mqtt_acked (clientid, topic, msgid, receipts, deleted, version)
        VALUES ('upgraded', 't', '${position.id}', [], 0, ${(Date.now() + 3_600_000) * 1_000})`);
      expect(await store.listPositions('upgraded', '', 10)).toEqual([position]);
      const next = { ...position, id: newId(), version: 1 };
      await store.putPositions([next]);
      expect(await store.listPositions('upgraded', '', 10)).toEqual([next]);
      await Promise.all([store.close(), sql.close()]);
    });

    it('keeps text payloads readable where EMQX has them', async () => {
      const [sql, store] = [new Sql(await fresh()), await open()];
      await store.migrate();
      const text = message({ topic: 'readable', payload: Buffer.from('{"é":1}'), qos: 2, retain: true });
      const binary = message({ topic: 'readable', payload: Buffer.from([0xff, 0]) });
      await store.saveMessages([text, binary]);
      const select = `SELECT msgid, sender, topic, qos, retain, payload, arrived, extra FROM mqtt_msg WHERE topic = 'readable' ORDER BY msgid`;
      const common = { sender: 'publisher', topic: 'readable' };
      expect(await sql.rows(select)).toEqual([
        { ...common, msgid: text.id, qos: 2, retain: 1, payload: '{"é":1}', arrived: text.publishReceivedAt, extra: [] },
        {
          ...common,
          msgid: binary.id,
          qos: 1,
          retain: 0,
          payload: '',
          arrived: binary.publishReceivedAt,
          extra: ['payload_base64', '/wA='],
        },
      ]);
      await Promise.all([store.close(), sql.close()]);
    });

    it('answers what the documentation asks', async () => {
      const url = await emptyClickHouse(server, 'offline_documentation');
      const [sql, store] = [new Sql(url), openClickHouse(url)];
      await store.migrate();
      const batch = Array.from({ length: 5 }, (_, i) => message({ topic: i < 2 ? 'a' : 'b' }));
      await store.saveMessages(batch);
      await store.removeMessages(batch.slice(3), Date.now() + 60_000);
      const documentation = readFileSync(join(__dirname, '../../docs/databases/clickhouse.md'), 'utf8');
      const query = /```sql\n([\s\S]*?)```/.exec(documentation)?.[1] ?? '';
      expect(await sql.rows(query)).toEqual([
        { topic: 'a', messages: 2 },
        { topic: 'b', messages: 1 },
      ]);
      await Promise.all([store.close(), sql.close()]);
    });

    it('reports a missing schema and what to do', async () => {
      const store = openClickHouse(await emptyClickHouse(server, 'offline_empty'));
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: .*version 0.*run "emqx-offline-store migrate"/) as string,
      });
      await expect(store.getMessage('x')).rejects.toThrow(RetryableError);
      await store.close();
    });

    it.each<[string, (to: URL) => unknown, RegExp]>([
      ['a wrong password', (to) => (to.password = 'wrong'), /^STORE_URL: .*login.*password$/],
      ['a wrong user', (to) => (to.username = 'wrong'), /^STORE_URL: .*login.*password$/],
      ['a host that is not there', (to) => (to.port = '1'), /^STORE_URL: cannot connect .*check host and port$/],
      ['a database that is not there', (to) => (to.pathname = '/absent'), /^STORE_URL: .*create the database first$/],
      ['TLS where there is none', (to) => to.searchParams.set('tls', 'true'), /^STORE_URL: .*check port and tls=$/],
    ])('names the setting for %s', async (_, change, expected) => {
      const store = openClickHouse(changed(change));
      const { ok, detail } = await answeredHealth(store);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toMatch(/wrong:|clickhouse:|\n/);
      await store.close();
    });

    it('reports a server that does not answer', async () => {
      const proxy = await SilentProxy.to(new URL(server));
      proxy.silent = true;
      const store = openClickHouse(proxy.url);
      expect(await store.health()).toEqual({ ok: false, detail: 'STORE_URL: no answer within 3 s' });
      await Promise.all([store.close(), proxy.close()]);
    });

    it.each(['1', '2'])('knows a user that is read-only (%s)', async (mode) => {
      const readOnly = await withSetting(new URL(await fresh()), `readonly=${mode}`);
      const store = openClickHouse(readOnly.url);
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: .*the user is read-only and needs to write$/) as string,
      });
      await store.close();
      await readOnly.close();
    });

    it('works with TLS, and reports missing settings', async () => {
      const url = new URL(await fresh());
      const proxy = await TlsProxy.to(url.hostname, Number(url.port));
      const through = (params: Record<string, string>) => {
        url.port = String(proxy.port);
        url.search = new URLSearchParams(params).toString();
        return openClickHouse(url.href);
      };
      const store = through({ ca: caFile() });
      await store.migrate();
      const saved = message({ topic: `tls/${newId()}` });
      expect(await store.saveMessages([saved])).toEqual([]);
      expect(await store.listMessages({ topic: saved.topic, after: '', limit: 10, now: Date.now() })).toEqual([saved]);
      expect(await answeredHealth(store)).toMatchObject({ ok: true });
      const [untrusting, plain] = [through({ tls: 'true' }), through({})];
      expect(await answeredHealth(untrusting)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: the certificate .* is not trusted .*ca=$/) as string,
      });
      expect(await answeredHealth(plain)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: .*check port and tls=$/) as string,
      });
      await Promise.all([store, untrusting, plain].map((each) => each.close()));
      await proxy.close();
    });
  });
});

describe('clickhouse settings', () => {
  it.each([
    ['clickhouse://h/db?secure=1', /STORE_URL: secure is unknown; known are tls and ca/],
    ['clickhouse://h/db?tls=maybe', /STORE_URL: tls=maybe is unknown/],
    ['clickhouse://h1,h2/db', /STORE_URL: .*one host/],
    ['clickhouse://h/db?ca=/absent.pem', /STORE_URL: the file of ca= can't be read/],
  ])('%s is refused', (url, expected) => {
    expect(() => openClickHouse(url)).toThrow(SettingError);
    expect(() => openClickHouse(url)).toThrow(expected);
  });

  it('has defaults for all but the host', async () => {
    await expect(openClickHouse(clickHouseUrl('clickhouse://localhost').href()).close()).resolves.toBeUndefined();
  });
});

/** The server as a user sees it whose profile has this setting. */
async function withSetting(target: URL, setting: string): Promise<{ url: string; close: () => Promise<void> }> {
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url } = incoming;
    const upstream = request({ host: target.hostname, port: target.port, method, headers, path: `${url}&${setting}` }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(upstream);
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const url = Object.assign(new URL(target), { port: String((proxy.address() as AddressInfo).port) }).href;
  return { url, close: async () => void (proxy.closeAllConnections(), await new Promise((resolve) => proxy.close(resolve))) };
}
