import { Client } from 'pg';
import { Table } from '../../src/embedded/table';
import { EmbeddedStore } from '../../src/stores/embedded';
import { MysqlStore } from '../../src/stores/mysql';
import type { Database } from '../../src/stores/mysql/database';
import { PostgresStore } from '../../src/stores/postgres';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { temporaryEnvironment } from '../support/environment';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';
import { explained, EXPLAINING } from './explained';

const ROWS = 210_000;
const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const EVERY = 700;
/** How many messages have expired, and how many tombstones. */
const DUE = ROWS / EVERY;

/** The same lifetimes as LIFETIMES, in JavaScript. One message of EVERY has expired, and its neighbours expire later or never. */
function expiryOf(i: number): number | null {
  if (i % EVERY === 0) return NOW - i;
  if (i % 2 === 0) return null;
  return NOW + (i % 3 === 0 ? 7 * DAY_MS : 3_600_000 + i);
}
const LIFETIMES = `CASE WHEN i % ${EVERY} = 0 THEN ${NOW} - i WHEN i % 2 = 0 THEN NULL
  WHEN i % 3 = 0 THEN ${NOW + 7 * DAY_MS} ELSE ${NOW + 3_600_000} + i END`;
const LIFETIMES_OF_TOMBSTONES = `CASE WHEN i % ${EVERY} = 0 THEN ${NOW} - i ELSE ${NOW + 900_000} + i % 1000 END`;

/**
 * Purges a store in which few of the messages and of the tombstones have expired, in two steps and once more.
 * @param read how many rows of the store are read meanwhile.
 */
async function purgeFew(store: Store, read: (work: () => Promise<unknown>) => Promise<number>): Promise<number[]> {
  const step = (limit: number, removed: number, more: boolean) =>
    read(async () => expect(await store.purgeExpired(NOW, limit)).toEqual({ removed, more }));
  const reads = [await step(DUE - 100, DUE - 100, true), await step(1_000, 100, false), await step(1_000, 0, false)];
  const { messages } = (await store.topicCounts(['dev/1'], NOW)).get('dev/1')!;
  expect(messages).toBeGreaterThan(0);
  return reads;
}

/** Promise 22: a purge reads what has expired. The other messages, whatever their lifetimes, are not read. */
describe(`a purge of ${DUE} messages among ${ROWS} with mixed lifetimes`, () => {
  describe('in the embedded database', () => {
    const { get } = temporaryEnvironment();

    it('reads only the messages that have expired', async () => {
      const store = new EmbeddedStore(get());
      await store.migrate();
      for (let i = 1; i <= ROWS; i += 1_000) {
        await store.saveMessages(
          Array.from({ length: 1_000 }, (_, n) => message({ topic: `dev/${(i + n) % 1_000}`, expiresAt: expiryOf(i + n) })),
        );
      }
      const buried = Array.from({ length: 7_000 }, (_, i) => message({ topic: 'removed', expiresAt: expiryOf(i) }));
      for (let i = 0; i < buried.length; i += 1_000) await store.removeMessages(buried.slice(i, i + 1_000), Date.now() + 2 * NOW);
      const entries = Table.prototype.entries;
      const read = async (work: () => Promise<unknown>): Promise<number> => {
        let count = 0;
        const spy = jest.spyOn(Table.prototype, 'entries').mockImplementation(function* (this: Table, range) {
          for (const entry of entries.call(this, range)) {
            count++;
            yield entry;
          }
        });
        await work();
        spy.mockRestore();
        return count;
      };
      // The index of expiry has an entry for each of these messages, because no other message expires in the same second.
      expect(await purgeFew(store, read)).toEqual([DUE - 100, 100, 0]);
    }, 120_000);
  });

  withBackends(['postgres'], ({ postgres: server }) => {
    it.each(['without statistics', 'with statistics'])(
      'in PostgreSQL reads each of them a few times, %s',
      async (statistics) => {
        const url = await emptyDatabase(server, 'offline_mixed_ttl');
        const store = new PostgresStore({ connectionString: url, options: EXPLAINING });
        await store.migrate();
        const client = new Client({ connectionString: url });
        await client.connect();
        for (const table of ['mqtt_msg', 'mqtt_tombstone']) await client.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
        await client.query(
          `INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, published_at, expires_at)
             SELECT lpad(to_hex(i), 32, '0'), 'p', 'dev/' || i % 1000, 1, 0, 'x', now(), i, ${LIFETIMES} FROM generate_series(1, ${ROWS}) AS i;
           INSERT INTO mqtt_tombstone SELECT 'T' || i, ${LIFETIMES_OF_TOMBSTONES} FROM generate_series(1, ${ROWS}) AS i`,
        );
        if (statistics === 'with statistics') await client.query('ANALYZE');
        await client.end();
        const [first = Infinity, second = Infinity, third] = await purgeFew(store, explained);
        await store.close();
        // Each of the messages and each of the tombstones is found in its index of expiry, and again to be deleted.
        expect(first).toBeLessThanOrEqual(4 * (DUE - 100));
        expect(second).toBeLessThanOrEqual(4 * 100);
        expect(third).toBe(0);
      },
      120_000,
    );
  });

  describe.each(['mysql', 'mariadb'] as const)('in %s', (name) => {
    withBackends([name], ({ [name]: server }) => {
      it('reads each of them a few times', async () => {
        const url = await emptyMysql(server, 'offline_mixed_ttl');
        const store = new MysqlStore(url);
        await store.migrate();
        const numbers = `WITH RECURSIVE numbers AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM numbers WHERE i < ${ROWS})`;
        await inMysql(
          url.href(),
          `SET SESSION ${name === 'mysql' ? 'cte_max_recursion_depth' : 'max_recursive_iterations'} = ${ROWS}`,
          `INSERT INTO mqtt_msg (msgid, topic, sender, qos, payload, arrived, published_at, expires_at)
             ${numbers} SELECT LPAD(HEX(i), 32, '0'), CONCAT('dev/', i % 1000), 'p', 1, 'x', NOW(), i, ${LIFETIMES} FROM numbers`,
          `INSERT INTO mqtt_tombstone (msgid, expires_at) ${numbers} SELECT CONCAT('T', i), ${LIFETIMES_OF_TOMBSTONES} FROM numbers`,
        );
        // The store uses the same connection for one statement after the other.
        const db = Reflect.get(store, 'db') as Database;
        const total = async () => {
          const rows = await db.rows<{ Value: string }>("SHOW SESSION STATUS LIKE 'Handler_read_%'");
          return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
        };
        // The status is a table, too.
        const start = await total();
        const ofStatus = (await total()) - start;
        const read = async (work: () => Promise<unknown>) => {
          const before = await total();
          await work();
          return (await total()) - before - ofStatus;
        };
        const [first, second, third] = await purgeFew(store, read);
        await store.close();
        expect(first).toBeGreaterThanOrEqual(2 * (DUE - 100));
        expect(first).toBeLessThanOrEqual(8 * (DUE - 100));
        expect(second).toBeLessThanOrEqual(8 * 100);
        expect(third).toBeLessThanOrEqual(8);
      }, 120_000);
    });
  });
});
