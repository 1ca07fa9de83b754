import { MysqlStore } from '../../src/stores/mysql';
import type { Database } from '../../src/stores/mysql/database';
import { MigrationFiles } from '../../src/stores/shared/migration-files';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';

/** The newest schema in which mqtt_msg.id is the primary key. */
const OLD_VERSION = 4;
const DATABASE = 'offline_upgrade';
const HOUR_MS = 3_600_000;

/** A table of EMQX's, as far as the server asks. */
const ORIGINAL = `CREATE TABLE mqtt_msg (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, msgid varchar(64) DEFAULT NULL,
  topic varchar(180) NOT NULL, sender varchar(64) DEFAULT NULL, qos tinyint(1) NOT NULL DEFAULT 0, retain tinyint(1) DEFAULT NULL,
  payload blob, arrived datetime NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`;

describe.each(['mysql', 'mariadb'] as const)('%s: an installation of the release before the key over msgid', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const stores: Store[] = [];
    /** A database with the old schema, filled by `fill`. The statements of that release are those of this one. */
    const prepare = async (tables: readonly string[] = [], fill = async (_: Store, __: string) => Promise.resolve()) => {
      const url = await emptyMysql(server, DATABASE, ...tables);
      const open = () => {
        const store = new MysqlStore(url);
        stores.push(store);
        return store;
      };
      const old = open();
      const files = Reflect.get(Reflect.get(old, 'migrations') as object, 'files') as MigrationFiles;
      Reflect.set(files, 'all', files.all.slice(0, OLD_VERSION));
      await old.migrate();
      await fill(old, url.href());
      return { url: url.href(), open };
    };
    const keys = async (url: string) => {
      const rows = await inMysql<{ Key_name: string; Column_name: string }>(url, 'SHOW INDEX FROM mqtt_msg');
      return rows.map((row) => `${row.Key_name}: ${row.Column_name}`).sort();
    };
    const REST = ['mqtt_msg_expires_at: expires_at', 'mqtt_msg_topic_key_msgid: msgid', 'mqtt_msg_topic_key_msgid: topic_key'];
    const NEW = ['PRIMARY: msgid', ...REST];
    const OLD = ['PRIMARY: id', ...REST, 'mqtt_msg_msgid: msgid'].sort();
    const numbers = (url: string) => inMysql<{ id: string }>(url, 'SELECT CAST(id AS CHAR) AS id FROM mqtt_msg ORDER BY msgid');

    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
      await inMysql(server, `DROP DATABASE IF EXISTS ${DATABASE}`);
    });

    it('keeps its messages, their order and numbers, tombstones and expiries', async () => {
      const now = Date.now();
      const topic = 'old';
      const kept = Array.from({ length: 300 }, (_, i) => message({ topic, payload: Buffer.from([i, 0xff]), expiresAt: now + HOUR_MS }));
      const expired = Array.from({ length: 20 }, () => message({ topic, expiresAt: now - 1 }));
      const [buried, forgotten] = [message({ topic: 'buried' }), message({ topic: 'buried' })];
      const { url, open } = await prepare([], async (old) => {
        await old.saveMessages([...kept, ...expired].reverse());
        await old.removeMessages([buried], now + HOUR_MS);
        await old.removeMessages([forgotten], now - 1);
      });
      const before = await numbers(url);
      // Two servers start at once.
      const [store, other] = [open(), open()];
      await Promise.all([store.migrate(), other.migrate()]);
      expect(await keys(url)).toEqual(NEW);
      expect(await numbers(url)).toEqual(before);
      const listed = (of: string) => store.listMessages({ topic: of, after: '', limit: 1_000, now });
      expect(await listed(topic)).toEqual(kept);
      await store.saveMessages([buried, forgotten, kept[0]!]);
      expect(await listed('buried')).toEqual([forgotten]);
      expect(await listed(topic)).toEqual(kept);
      expect(await store.purgeExpired(now, 1_000)).toEqual({ removed: 20, more: false });
      expect(await store.removeMessages(kept, now + HOUR_MS)).toBe(300);
    });

    it("gives each new row a number that is greater than those before, EMQX's own rows too", async () => {
      const { url, open } = await prepare([], (old) => old.saveMessages([message({ topic: 't' })]).then(() => undefined));
      const store = open();
      await store.migrate();
      const insert = (id: string) =>
        inMysql(url, `INSERT INTO mqtt_msg (msgid, topic, qos, payload, arrived) VALUES ('${id}', 't', 1, 'x', NOW())`);
      await store.saveMessages([message({ topic: 't' }), message({ topic: 't' })]);
      await insert('X1');
      await insert('X2');
      const ids = (await numbers(url)).map(({ id }) => BigInt(id));
      expect(ids).toHaveLength(5);
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => (a < b ? -1 : 1)));
    });

    // The guard is the UPDATE before the key: without it the migration fails, because a key has no NULL.
    it('may have rows without a msgid, which get one', async () => {
      const { url, open } = await prepare([], async (_, to) => {
        await inMysql(
          to,
          `INSERT INTO mqtt_msg (topic, qos, payload, arrived) VALUES ('bare', 1, 'first', '2020-01-01'), ('bare', 1, 'second', '2020-01-02')`,
        );
      });
      const store = open();
      await store.migrate();
      expect(await keys(url)).toEqual(NEW);
      const listed = await store.listMessages({ topic: 'bare', after: '', limit: 10, now: 0 });
      expect(listed.map(({ payload }) => payload.toString())).toEqual(['first', 'second']);
      expect(await store.removeMessages(listed, Date.now() + HOUR_MS)).toBe(2);
    });

    // The guard is "only with index": without it the second run looks for keys that are gone.
    it('can be migrated again when a server died before it noted the migration', async () => {
      const { url, open } = await prepare();
      await open().migrate();
      await inMysql(url, `DELETE FROM mqtt_offline_migration WHERE version > ${OLD_VERSION}`);
      const store = open();
      await store.migrate();
      expect(await keys(url)).toEqual(NEW);
      expect((await store.health()).ok).toBe(true);
    });

    // The guard is "unless foreign key to": without it the server does not start. Only MariaDB would change the key over msgid.
    it.each([
      ['id', 'bigint unsigned'],
      ['msgid', 'varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin'],
    ])('keeps its keys where another table refers to %s', async (column, type) => {
      const { url, open } = await prepare([], async (_, to) => {
        await inMysql(to, `CREATE TABLE mine (message ${type}, FOREIGN KEY (message) REFERENCES mqtt_msg (${column})) ENGINE=InnoDB`);
      });
      const store = open();
      await store.migrate();
      expect(await keys(url)).toEqual(OLD);
      const saved = message({ topic: 't' });
      await store.saveMessages([saved]);
      expect(await store.getMessage(saved.id)).toEqual(saved);
    });

    // The guard is "unless index mqtt_msg.topic_index".
    it('keeps its keys in a table that EMQX made, in which the oldest message is found in the index of ids', async () => {
      const { url, open } = await prepare([ORIGINAL]);
      const store = open();
      await store.migrate();
      expect(await keys(url)).toEqual([...OLD, 'topic_index: topic'].sort());
      await inMysql(
        url,
        `SET SESSION ${name === 'mysql' ? 'cte_max_recursion_depth' : 'max_recursive_iterations'} = 20000`,
        `INSERT INTO mqtt_msg (msgid, topic, qos, payload, arrived, published_at) WITH RECURSIVE numbers AS
           (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) SELECT LPAD(20001 - n, 8, '0'), 't', 1, 'x', NOW(), 20001 - n FROM numbers`,
      );
      // The store uses the same connection for one statement after the other.
      const db = Reflect.get(store, 'db') as Database;
      const read = async () => {
        const rows = await db.rows<{ Value: string }>("SHOW SESSION STATUS LIKE 'Handler_read_%'");
        return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
      };
      const before = await read();
      expect(await store.oldestMessageAt(0)).toBe(1);
      expect((await read()) - before).toBeLessThan(1_000);
    });
  });
});
