import { RetryableError } from '../../src/base/errors';
import { openStore } from '../../src/stores';
import { parseServiceUrl } from '../../src/config/url';
import { CassandraStore } from '../../src/stores/cassandra';
import { Database } from '../../src/stores/cassandra/database';
import type { Store } from '../../src/stores/store';
import { caFile, withBackends } from '../support/backends';
import { healthInTime, answeredHealth } from '../support/health';
import { cassandraClient, dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message, newId } from '../support/messages';
import { conformance } from './conformance';
import { SILENCE_MS, SilentProxy } from './silent-proxy';

const KEYSPACE = 'offline_conformance';

describe('cassandra', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let url: Promise<string> | null = null;
    const keyspace = () => (url ??= emptyKeyspace(server, KEYSPACE));
    const open = async () => new CassandraStore(settingsOf(await keyspace()));
    afterAll(() => dropKeyspace(server, KEYSPACE));

    conformance('on Cassandra', { open });

    describe('details of this database', () => {
      let store: Store;
      beforeAll(async () => {
        store = await openStore(parseServiceUrl(await keyspace(), ['cassandra']), null);
        await store.migrate();
      });
      afterAll(() => store.close());

      // Promise 13. Keys hold 65,535 bytes, a request 16 MB.
      it('rejects only messages that Cassandra rejects', async () => {
        const fine = Array.from({ length: 5 }, () => message({ topic: 'neighbours' }));
        const tooLong = message({ topic: 'x'.repeat(65_536) });
        const tooBig = message({ topic: 'neighbours', payload: Buffer.alloc(17 * 1_048_576) });
        const batch = [fine[0]!, tooLong, fine[1]!, fine[2]!, tooBig, fine[3]!, fine[4]!];
        expect(await store.saveMessages(batch)).toEqual([
          { id: tooLong.id, reason: expect.stringContaining('65535') as string },
          { id: tooBig.id, reason: expect.stringContaining('too big') as string },
        ]);
        expect(await store.listMessages({ topic: 'neighbours', after: '', limit: 100, now: Date.now() })).toEqual(fine);
        expect(await store.putRetained([fine[0]!, tooLong])).toEqual([{ id: tooLong.id, reason: expect.any(String) as string }]);
        expect(await store.listRetained({ filter: 'neighbours', after: '', limit: 2 })).toHaveLength(1);
        // What cannot be stored is not there.
        expect(await store.removeMessages([tooLong], Date.now() + 1_000)).toBe(0);
        expect(await store.listMessages({ topic: tooLong.topic, after: '', limit: 1, now: 0 })).toEqual([]);
        expect(await store.listTopics({ filter: tooLong.topic, after: '', limit: 1 })).toEqual([]);
        expect(await store.trimTopic(tooLong.topic, 1)).toBe(0);
      });

      it('replaces a position of an earlier release, and one of EMQX’s, by the first version', async () => {
        const client = cassandraClient(server, KEYSPACE);
        const [old, emqx] = [newId(), newId()];
        await client.execute(`INSERT INTO acked (clientid, topic, msgid, receipts) VALUES ('upgraded', 'a', '${old}', '[]')`);
        await client.execute(`INSERT INTO acked (clientid, topic, msgid) VALUES ('upgraded', 'b', '${emqx}')`);
        await client.shutdown();
        const stored = [
          { consumer: 'upgraded', topic: 'a', id: old, receipts: [] },
          { consumer: 'upgraded', topic: 'b', id: emqx, receipts: [] },
        ];
        expect(await store.listPositions('upgraded', '', 10)).toEqual(stored);
        for (const version of [undefined, 1, 5]) {
          const next = stored.map((position) => ({ ...position, id: newId(), ...(version !== undefined && { version }) }));
          await store.putPositions(next);
          expect(await store.listPositions('upgraded', '', 10)).toEqual(next);
        }
      });

      it('writes all positions of a consumer in one transaction, however many there are', async () => {
        const spy = jest.spyOn(Database.prototype, 'batchConditionally');
        const write = async (version: number) => {
          spy.mockClear();
          await store.putPositions(
            Array.from({ length: 200 }, (_, i) => ({ consumer: 'many', topic: `many/${i}`, id: newId(), receipts: [], version })),
          );
          return spy.mock.calls.length;
        };
        expect([await write(1), await write(2), await write(1)]).toEqual([1, 1, 1]);
        spy.mockRestore();
      });

      // The guard is the condition in RetainedTable.replace: without it the last write wins.
      it('keeps the newest retained message whoever writes at the same time', async () => {
        const other = await open();
        for (let round = 0; round < 5; round++) {
          const topic = `retained/race/${round}`;
          const versions = Array.from({ length: 10 }, () => message({ topic, retain: true }));
          await Promise.all([...versions].reverse().map((each, i) => (i % 2 === 0 ? store : other).putRetained([each])));
          expect((await store.listRetained({ filter: topic, after: '', limit: 1 }))[0]?.id).toBe(versions.at(-1)?.id);
          await Promise.all([
            store.deleteRetained([versions[3]!]),
            other.deleteRetained([{ topic, id: newId(), publishReceivedAt: Date.now() }]),
          ]);
          expect(await store.listRetained({ filter: topic, after: '', limit: 1 })).toEqual([]);
        }
        await other.close();
      });

      it('undoes a write of a server whose clock is ahead', async () => {
        const ahead = message({ topic: 'skew' });
        await store.saveMessages([ahead]);
        const client = cassandraClient(server, KEYSPACE);
        const timestamp = (Date.now() + 3_600_000) * 1_000;
        await client.execute(
          `UPDATE mqtt_msg USING TIMESTAMP ${timestamp} SET published_at = 1, payload = 'x' WHERE topic = 'skew' AND msgid = '${ahead.id}'`,
        );
        await client.shutdown();
        expect(await store.removeMessages([ahead], Date.now() + 60_000)).toBe(1);
        expect(await store.listMessages({ topic: 'skew', after: '', limit: 1, now: 0 })).toEqual([]);
        expect(await store.getMessage(ahead.id)).toBeNull();
      });
    });

    // Promise 14. The guard is defunctReadTimeoutThreshold: without it the connection times out query after query.
    it('works again at once after a silent outage of the server', async () => {
      await open().then(async (store) => (await store.migrate(), store.close()));
      const proxy = await SilentProxy.to(new URL(await keyspace()));
      const store = new CassandraStore({ ...settingsOf(proxy.url), readTimeoutMs: SILENCE_MS });
      try {
        await Promise.all(Array.from({ length: 5 }, () => store.getMessage('absent')));
        proxy.silent = true;
        const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => store.getMessage('absent')));
        for (const outcome of outcomes)
          expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(RetryableError) as RetryableError });
        proxy.silent = false;
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        for (let i = 0; i < 5; i++) expect(await store.getMessage('absent')).toBeNull();
      } finally {
        await store.close();
        await proxy.close();
      }
    });

    it('reports a missing schema and what to do', async () => {
      const store = new CassandraStore(settingsOf(await emptyKeyspace(server, 'offline_empty')));
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/STORE_URL: .*version 0.*run "emqx-offline-store migrate"/) as string,
      });
      await expect(store.getMessage('x')).rejects.toThrow(/migrate/);
      await expect(store.saveMessages([message({ topic: 'x' })])).rejects.toThrow(RetryableError);
      await store.close();
      await dropKeyspace(server, 'offline_empty');
    });

    it('reports a missing keyspace, and works when it exists', async () => {
      await dropKeyspace(server, 'offline_absent');
      const store = new CassandraStore(settingsOf(Object.assign(new URL(server), { pathname: '/offline_absent' }).href));
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: .*CREATE KEYSPACE offline_absent/) as string,
      });
      await expect(store.migrate()).rejects.toThrow(/CREATE KEYSPACE/);
      await emptyKeyspace(server, 'offline_absent');
      await store.migrate();
      expect(await answeredHealth(store)).toEqual({
        ok: true,
        detail: expect.stringMatching(/^Cassandra \d+\.\d+\.\d+, schema \d+$/) as string,
      });
      await store.close();
      await dropKeyspace(server, 'offline_absent');
    });

    it.each<[string, (to: URL) => void, RegExp]>([
      [
        'a host that is not there',
        (to) => (to.port = '1'),
        /^STORE_URL: cannot connect to Cassandra \(connect ECONNREFUSED.*check host and port/,
      ],
      [
        'a name that is not known',
        (to) => (to.hostname = 'nowhere.invalid'),
        /^STORE_URL: cannot connect to Cassandra \(No host could be resolved/,
      ],
      ['a data center that is not there', (to) => to.searchParams.set('dc', 'absent'), /^STORE_URL: .*set dc= to one of datacenter1$/],
      ['TLS without the authority', (to) => to.searchParams.set('tls', 'true'), /^STORE_URL: .*certificate.*set ca=/],
    ])('names the setting for %s', async (_, change, expected) => {
      const wrong = new URL(server);
      wrong.username = 'user';
      wrong.password = 's3cret';
      change(wrong);
      const store = new CassandraStore(settingsOf(wrong.href));
      const { ok, detail } = await answeredHealth(store);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toMatch(/s3cret|\n/);
      await store.close();
    });

    it('fails in time when the server does not answer', async () => {
      const proxy = await SilentProxy.to(new URL(server));
      proxy.silent = true;
      const store = new CassandraStore({ ...settingsOf(proxy.url), readTimeoutMs: 4_000 });
      expect(await healthInTime(store)).toEqual({ ok: false, detail: expect.stringMatching(/^STORE_URL: /) as string });
      await Promise.all([store.close(), proxy.close()]);
    });
  });

  withBackends(['cassandra-tls'], ({ 'cassandra-tls': server }) => {
    it('works with TLS', async () => {
      const ca = `&ca=${encodeURIComponent(caFile())}`;
      const url = await emptyKeyspace(server.replace('&tls=true', ''), 'offline_tls');
      const store = new CassandraStore(settingsOf(`${url}${ca}`));
      await store.migrate();
      const saved = message({ topic: 'tls' });
      expect(await store.saveMessages([saved])).toEqual([]);
      expect(await store.listMessages({ topic: 'tls', after: '', limit: 1, now: 0 })).toEqual([saved]);
      await store.close();
      await dropKeyspace(server.replace('&tls=true', ''), 'offline_tls');
    });

    it('says that the certificate cannot be verified', async () => {
      const store = new CassandraStore(settingsOf(server));
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: the server's certificate can't be verified.*ca=/) as string,
      });
      await store.close();
    });
  });
});
