import { Client } from 'pg';
import type { Message } from '../../src/mqtt/message';
import { PostgresStore } from '../../src/stores/postgres';
import { MigrationFiles } from '../../src/stores/shared/migration-files';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message, newId } from '../support/messages';
import { ORIGINAL, ROWS } from './emqx-tables';

/** The newest schema that removes and saves without procedures. */
const OLD_VERSION = 5;
const HOUR_MS = 3_600_000;

/** As migrate() of that release did it. */
async function migrateToOld(client: Client): Promise<void> {
  await client.query('BEGIN');
  await client.query(
    'CREATE TABLE mqtt_offline_migration (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())',
  );
  for (const { version, name, text } of new MigrationFiles('postgres').all.slice(0, OLD_VERSION)) {
    await client.query(text);
    await client.query('INSERT INTO mqtt_offline_migration (version, name) VALUES ($1, $2)', [version, name]);
  }
  await client.query('COMMIT');
}

/** As that release stored a message. */
async function saveAsOld(client: Client, messages: readonly Message[]): Promise<void> {
  for (const { id, clientid, topic, qos, retain, payload, publishReceivedAt, username, properties, expiresAt } of messages) {
    await client.query(
      `INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, payload_bin, username, properties, published_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, NULL, to_timestamp($6::bigint / 1000.0)::timestamp, $7, $8, $9, $6, $10)`,
      [id, clientid, topic, qos, retain ? 1 : 0, publishReceivedAt, payload, username, JSON.stringify(properties), expiresAt],
    );
  }
}

/** As that release left a tombstone. */
async function buryAsOld(client: Client, id: string, until: number): Promise<void> {
  await client.query('INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES ($1, $2)', [id, until]);
}

async function keyOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ column: string }>(
    `SELECT a.attname AS column FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
     WHERE i.indrelid = 'mqtt_msg'::regclass AND i.indisprimary`,
  );
  return rows.map(({ column }) => column);
}

describe('an installation of the release before procedures', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    const prepare = async (work: (client: Client) => Promise<void>) => {
      const url = await emptyDatabase(server, 'offline_upgrade');
      const client = new Client({ connectionString: url });
      await client.connect();
      await work(client);
      return { client, open: () => new PostgresStore({ connectionString: url }) };
    };

    it('keeps its messages, their order, tombstones and expiries', async () => {
      const now = Date.now();
      const topic = 'old';
      const kept = Array.from({ length: 300 }, (_, i) =>
        message({ topic, payload: Buffer.from(`${i}`), properties: i % 2 === 0 ? {} : { contentType: 'text/plain' } }),
      );
      const expired = Array.from({ length: 20 }, () => message({ topic, expiresAt: now - 1 }));
      const later = message({ topic, expiresAt: now + HOUR_MS });
      const [buried, forgotten] = [message({ topic: 'buried' }), message({ topic: 'buried' })];
      const { client, open } = await prepare(async (old) => {
        await migrateToOld(old);
        await saveAsOld(old, [...kept, later, ...expired].reverse());
        await buryAsOld(old, buried.id, now + HOUR_MS);
        await buryAsOld(old, forgotten.id, now - 1);
      });
      // Two servers start at once.
      const [store, other] = [open(), open()];
      await Promise.all([store.migrate(), other.migrate()]);
      const list = (of: string) => store.listMessages({ topic: of, after: '', limit: 1_000, now });

      expect(await list(topic)).toEqual([...kept, later]);
      expect(await other.saveMessages([buried, forgotten, kept[0]!])).toEqual([]);
      expect(await list('buried')).toEqual([forgotten]);
      expect(await store.purgeExpired(now, 15)).toEqual({ removed: 15, more: true });
      expect(await store.purgeExpired(now, 15)).toEqual({ removed: 5, more: false });
      expect(await store.removeMessages([...kept, later, forgotten], now + HOUR_MS)).toBe(302);
      await store.saveMessages([...kept, later]);
      expect(await list(topic)).toEqual([]);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual([]);
      for (let more = true; more;) ({ more } = await store.purgeExpired(now + 2 * HOUR_MS, 1_000));
      const { rows } = await client.query('SELECT (SELECT count(*) FROM mqtt_msg) + (SELECT count(*) FROM mqtt_tombstone) AS left');
      expect(rows).toEqual([{ left: '0' }]);
      await Promise.all([store.close(), other.close(), client.end()]);
    });

    const identity = `SELECT relreplident AS kind FROM pg_class WHERE oid IN ('mqtt_msg'::regclass, 'mqtt_tombstone'::regclass) ORDER BY relname`;

    it('loses the key over mqtt_msg.id, and can be published', async () => {
      const { client, open } = await prepare(migrateToOld);
      expect(await keyOf(client)).toEqual(['id']);
      const store = open();
      await store.migrate();
      expect(await keyOf(client)).toEqual([]);
      expect((await client.query(identity)).rows).toEqual([{ kind: 'i' }, { kind: 'f' }]);
      // Without an identity the database would reject every removal.
      await client.query('CREATE PUBLICATION everything FOR ALL TABLES');
      const saved = message({ topic: 'published' });
      await store.saveMessages([saved]);
      expect(await store.removeMessages([saved], 1)).toBe(1);
      await store.purgeExpired(2, 10);
      const { rows } = await client.query<{ next: string }>(`SELECT pg_get_serial_sequence('mqtt_msg', 'id') IS NOT NULL AS next`);
      expect(rows).toEqual([{ next: true }]);
      await Promise.all([store.close(), client.end()]);
    });

    it.each<[string, (client: Client) => Promise<void>]>([
      [
        'when EMQX made the table',
        async (client) => {
          await client.query(ORIGINAL);
          await client.query(ROWS);
          await migrateToOld(client);
        },
      ],
      [
        'when another table refers to it',
        async (client) => {
          await migrateToOld(client);
          await client.query('CREATE TABLE report (message bigint REFERENCES mqtt_msg (id))');
        },
      ],
      [
        'when somebody wrote rows without a msgid',
        async (client) => {
          await migrateToOld(client);
          await client.query(`INSERT INTO mqtt_msg (topic) VALUES ('t')`);
        },
      ],
    ])('keeps the key over mqtt_msg.id %s', async (_, old) => {
      const { client, open } = await prepare(old);
      const store = open();
      await store.migrate();
      expect(await keyOf(client)).toEqual(['id']);
      const saved = message({ topic: 'new', id: newId() });
      await store.saveMessages([saved]);
      expect(await store.removeMessages([saved], 1)).toBe(1);
      await Promise.all([store.close(), client.end()]);
    });

    it('stays as it was when the migration stops in the middle, and is migrated by the next start', async () => {
      const { client, open } = await prepare(async (old) => {
        await migrateToOld(old);
        // The last step finds another function of this name.
        await old.query(
          'CREATE FUNCTION mqtt_remove_messages(ids text[], buried_until bigint, INOUT removed bigint) LANGUAGE sql AS $$ SELECT 1::bigint $$',
        );
      });
      const store = open();
      await expect(store.migrate()).rejects.toThrow(/cannot change routine kind/);
      expect(await keyOf(client)).toEqual(['id']);
      expect((await client.query('SELECT max(version) AS version FROM mqtt_offline_migration')).rows).toEqual([{ version: OLD_VERSION }]);
      await client.query('DROP FUNCTION mqtt_remove_messages');
      await store.migrate();
      expect(await store.health()).toMatchObject({ ok: true });
      await Promise.all([store.close(), client.end()]);
    });
  });
});
