import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'cassandra-driver';
import { CassandraStore } from '../../src/stores/cassandra';
import { Database } from '../../src/stores/cassandra/database';
import { moveToFewerWrites } from '../../src/stores/cassandra/fewer-writes';
import { shardOf } from '../../src/stores/cassandra/topic-index';
import { withBackends } from '../support/backends';
import { cassandraClient, dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message, newId } from '../support/messages';

const KEYSPACE = 'offline_migration';
const FILES = ['001_messages', '002_clients', '003_seen_at', '004_position_version'];
const BUCKET_MS = 600_000;

/** What releases before migration 005 stored. */
describe('cassandra migration 005', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let url: string;
    let client: Client;
    beforeEach(async () => {
      url = await emptyKeyspace(server, KEYSPACE);
      client = cassandraClient(server, KEYSPACE);
      const statements = FILES.flatMap((name) =>
        readFileSync(join(__dirname, `../../migrations/cassandra/${name}.cql`), 'utf8')
          .replace(/^--.*$/gm, '')
          .split(/;\s*$/m)
          .filter((statement) => statement.trim() !== ''),
      );
      for (const statement of statements) await client.execute(statement);
      await client.execute('CREATE TABLE mqtt_offline_migration (version int PRIMARY KEY, name text, applied_at timestamp)');
      for (const [i, name] of FILES.entries()) await run('INSERT INTO mqtt_offline_migration (version, name) VALUES (?, ?)', [i + 1, name]);
    }, 60_000);
    afterEach(async () => {
      await Promise.all([client.shutdown(), ...opened.splice(0).map((each) => each.close())]);
      await dropKeyspace(server, KEYSPACE);
    });

    const run = (query: string, params: unknown[]) => client.execute(query, params, { prepare: true });
    const opened: { close(): Promise<void> }[] = [];
    const open = () => {
      const store = new CassandraStore(settingsOf(url));
      opened.push(store);
      return store;
    };
    const list = (store: CassandraStore, topic: string, now = Date.now()) => store.listMessages({ topic, after: '', limit: 1_000, now });

    /** Writes a message as the earlier release did. */
    const saveOld = async (each: ReturnType<typeof message>): Promise<void> => {
      const { topic, id, expiresAt, publishReceivedAt: at } = each;
      const ttl = expiresAt === null ? 0 : Math.ceil(Math.max(0, expiresAt - Date.now()) / 1_000) + 86_400;
      await run(
        `INSERT INTO mqtt_msg (topic, msgid, retain, sender, qos, payload, properties, arrived, published_at, expires_at)
         VALUES (?, ?, 0, ?, ?, ?, '{}', ?, ?, ?) USING TTL ?`,
        [topic, id, each.clientid, each.qos, each.payload.toString(), new Date(at), at, expiresAt ?? undefined, ttl],
      );
      await run('INSERT INTO mqtt_topic (shard, topic, saved_at) VALUES (?, ?, ?)', [shardOf(topic), topic, new Date()]);
      if (expiresAt !== null) {
        const bucket = Math.floor(expiresAt / BUCKET_MS);
        await run('INSERT INTO mqtt_msg_expiry_bucket (shard, bucket) VALUES (0, ?)', [bucket]);
        await run('INSERT INTO mqtt_msg_expiry (bucket, expires_at, msgid, topic) VALUES (?, ?, ?, ?) USING TTL ?', [
          ...[bucket, expiresAt, id, topic, ttl],
        ]);
      }
      await run('INSERT INTO mqtt_msg_id (msgid, topic) VALUES (?, ?) USING TTL ?', [id, topic, ttl]);
    };
    const buryOld = (id: string, until: number) =>
      run(`INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES (?, ?) USING TTL 900 AND TIMESTAMP ${until * 1_000}`, [id, until]);

    it('delivers, removes and purges what is stored, and keeps tombstones', async () => {
      const now = Date.now();
      const lasting = Array.from({ length: 30 }, () => message({ topic: 'old/a' }));
      const expiring = Array.from({ length: 30 }, (_, i) => message({ topic: `old/${i % 3}`, expiresAt: now + 60_000 + i * 10 }));
      const later = message({ topic: 'old/1', expiresAt: now + 7 * 86_400_000 });
      for (const each of [...lasting, ...expiring, later]) await saveOld(each);
      const early = message({ topic: 'old/a', id: newId().replace(/^..../, '0005') });
      const removed = message({ topic: 'old/a' });
      await Promise.all([early, removed].map(({ id }) => buryOld(id, now + 600_000)));

      const [store, other] = [open(), open()];
      await Promise.all([store.migrate(), other.migrate()]);
      expect(await store.health()).toMatchObject({ ok: true });
      // Publishes that come again, or after their acknowledgement.
      await other.saveMessages([early, removed, lasting[0]!]);
      expect(await list(store, 'old/a')).toEqual(lasting);
      expect(await list(store, 'old/1')).toEqual([...expiring.filter((_, i) => i % 3 === 1), later]);
      expect(await store.listTopics({ filter: 'old/#', after: '', limit: 10 })).toEqual(['old/0', 'old/1', 'old/2', 'old/a']);
      expect(await store.getMessage(lasting[7]!.id)).toEqual(lasting[7]);
      expect(await store.countMessages()).toBe(61);

      expect((await store.purgeExpired(now + 59_000, 1_000)).removed).toBe(0);
      let purged = 0;
      for (let more = true; more;) {
        const step = await store.purgeExpired(now + 61_000, 7);
        expect(step.removed).toBeLessThanOrEqual(7);
        purged += step.removed;
        ({ more } = step);
      }
      expect(purged).toBe(30);
      expect(await store.removeMessages([...lasting, later], now + 600_000)).toBe(31);
      await other.saveMessages([...lasting, later]);
      expect(await store.countMessages()).toBe(0);
      expect((await client.execute('SELECT msgid FROM mqtt_msg')).rows).toEqual([]);
      const tables = await run('SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?', [KEYSPACE]);
      const names = tables.rows.map((row) => row['table_name'] as string);
      expect(names.filter((name) => /^mqtt_msg_/.test(name))).toEqual([]);
    }, 120_000);

    it.each([
      ['before', 0],
      ['after', 1],
    ])(
      'is repeated when it died %s it moved the times of expiry',
      async (_, steps) => {
        const expiring = Array.from({ length: 20 }, (_, i) => message({ topic: `died/${i}`, expiresAt: Date.now() + 60_000 }));
        for (const each of expiring) await saveOld(each);
        const db = new Database(settingsOf(url));
        opened.push(db);
        const text = readFileSync(join(__dirname, '../../migrations/cassandra/005_fewer_writes.cql'), 'utf8');
        for (const statement of text.replace(/^--.*$/gm, '').split(/;\s*$/m)) if (statement.trim() !== '') await db.define(statement);
        let left = steps;
        const dies = () => (left-- === 0 ? Promise.reject(new Error('died')) : Promise.resolve());
        await expect(moveToFewerWrites(db, dies, 4)).rejects.toThrow('died');
        const store = open();
        await store.migrate();
        expect((await store.purgeExpired(Date.now() + 120_000, 1_000)).removed).toBe(20);
        expect((await store.purgeExpired(Date.now() + 120_000, 1_000)).removed).toBe(0);
        // Once more, as if it had died before it was noted.
        await client.execute('DELETE FROM mqtt_offline_migration WHERE version = 5');
        await store.migrate();
        expect(await store.health()).toMatchObject({ ok: true });
      },
      120_000,
    );

    it('reads no tombstones of an earlier release in a new installation', async () => {
      await client.execute(`DROP KEYSPACE ${KEYSPACE}`);
      url = await emptyKeyspace(server, KEYSPACE);
      const store = open();
      await store.migrate();
      const client2 = cassandraClient(server, KEYSPACE);
      expect((await client2.execute('SELECT msgid FROM mqtt_tombstone')).rows).toEqual([]);
      await client2.shutdown();
    }, 120_000);
  });
});
