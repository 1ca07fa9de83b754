import { RefusedError } from '../../src/base/errors';
import { MysqlStore } from '../../src/stores/mysql';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';
import { conformance } from './conformance';
import { expectPlannedTakeover } from './planned-takeover';
import { purgeOld } from './purge-old';

/** The tables of EMQX's own MySQL backend and of its recipes, with their lengths and keys. */
const ORIGINAL = `
  CREATE TABLE mqtt_msg (id bigint unsigned NOT NULL AUTO_INCREMENT, msgid varchar(64) DEFAULT NULL, topic varchar(180) NOT NULL,
    sender varchar(64) DEFAULT NULL, qos tinyint(1) NOT NULL DEFAULT '0', retain tinyint(1) DEFAULT NULL, payload blob, arrived datetime NOT NULL,
    PRIMARY KEY (id), INDEX topic_index(id, topic)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
  CREATE TABLE mqtt_client (id int(11) unsigned NOT NULL AUTO_INCREMENT, clientid varchar(64) DEFAULT NULL, state varchar(3) DEFAULT NULL,
    node varchar(100) DEFAULT NULL, online_at datetime DEFAULT NULL, offline_at datetime DEFAULT NULL, created timestamp NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id), KEY mqtt_client_idx (clientid), UNIQUE KEY mqtt_client_key (clientid)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
  CREATE TABLE mqtt_sub (clientid varchar(64) NOT NULL, topic varchar(180) NOT NULL, qos tinyint(1) NOT NULL DEFAULT '0',
    PRIMARY KEY (clientid, topic)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
  CREATE TABLE mqtt_retain (id int(11) unsigned NOT NULL AUTO_INCREMENT, topic varchar(200) DEFAULT NULL, msgid varchar(60) DEFAULT NULL,
    sender varchar(100) DEFAULT NULL, node varchar(100) DEFAULT NULL, qos int DEFAULT NULL, payload blob, arrived timestamp NULL DEFAULT NULL,
    PRIMARY KEY (id), UNIQUE KEY mqtt_retain_key (topic)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
  CREATE TABLE mqtt_acked (id int(11) unsigned NOT NULL AUTO_INCREMENT, clientid varchar(200) DEFAULT NULL, topic varchar(200) DEFAULT NULL,
    mid int(200) DEFAULT NULL, created timestamp NULL DEFAULT NULL, PRIMARY KEY (id), UNIQUE KEY mqtt_acked_key (clientid, topic)) ENGINE=InnoDB DEFAULT CHARSET=utf8`;

/** What they hold, with everything that has been seen in them. */
const ROWS = `
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) VALUES
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', '2017-03-01 10:00:00'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', '2017-03-01 10:00:05'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'not the first', '2017-03-01 10:00:06'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/other', 1, 0, 'first', '2017-03-01 10:00:06'),
    (NULL, 'old', 't/old', 2, 1, 'no id', '2017-03-01 10:00:07'),
    ('', 'old', 't/old', 0, NULL, 'empty id', '2017-03-01 10:00:08'),
    ('with:colon', 'old', 't/old', 1, 0, X'00FF', '2017-03-01 10:00:09'),
    ('7xKq2', NULL, 't/bare', -1, NULL, NULL, '2018-01-01 00:00:00'),
    ('base62A', 'old', 't/acked', 1, 0, 'one', '2018-01-01 00:00:00'),
    ('base62a', 'old', 't/acked', 1, 0, 'two', '2018-01-01 00:00:01'),
    ('base62b', 'old', 't/acked', 1, 0, 'three', '2018-01-01 00:00:02');
  INSERT INTO mqtt_client (clientid, state, node, online_at, offline_at) VALUES
    ('here', '1', 'emqx@a', '2020-01-01 00:00:02', '2020-01-01 00:00:01'), ('gone', '0', 'emqx@a', '2020-01-01 00:00:01', '2020-01-01 00:00:02'), ('bare', NULL, NULL, NULL, NULL);
  INSERT INTO mqtt_sub (clientid, topic, qos) VALUES ('here', 't/#', 1), ('here', 'u/+', -1), ('gone', 't/1', 2);
  INSERT INTO mqtt_retain (topic, msgid, sender, qos, payload, arrived) VALUES
    ('r/1', 'AAA', 'old', 1, 'kept', '2019-01-01 00:00:00'), ('r/2', NULL, NULL, NULL, 'no id', '2019-01-01 00:00:00');
  INSERT INTO mqtt_acked (clientid, topic, mid) VALUES ('reader', 't/acked', 10), ('late', 't/acked', 99), ('early', 't/acked', 4), ('bare', 't/acked', NULL)`;

describe.each(['mysql', 'mariadb'] as const)('%s takeover', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const stores: Store[] = [];
    const prepare = async (database: string, ...sql: string[]) => {
      const url = await emptyMysql(server, database, ...sql);
      const open = () => {
        const store = new MysqlStore(url);
        stores.push(store);
        return store;
      };
      return { url: url.href(), open };
    };
    afterAll(async () => {
      await Promise.all(stores.map((store) => store.close()));
      for (const database of ['offline_takeover', 'offline_takeover_suite', 'offline_refused'])
        await inMysql(server, `DROP DATABASE IF EXISTS ${database}`);
    });

    it('is planned by a dry run without changes, and logs its progress', async () => {
      const { open } = await prepare('offline_takeover', ORIGINAL, ROWS);
      await expectPlannedTakeover(open(), { mqtt_msg: 11, mqtt_client: 3, mqtt_sub: 3, mqtt_retain: 2, mqtt_acked: 4 });
    });

    describe("of a database with rows of EMQX's plugin", () => {
      let store: Store;
      let url: string;
      const list = async (topic: string) => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });
      const serverTime = async (text: string) =>
        Number((await inMysql<{ ms: string }>(server, `SELECT UNIX_TIMESTAMP('${text}') * 1000 AS ms`))[0]?.ms);
      beforeAll(async () => {
        const prepared = await prepare('offline_takeover', ORIGINAL, ROWS);
        url = prepared.url;
        store = prepared.open();
        await Promise.all([store.migrate(), prepared.open().migrate()]);
        await store.migrate();
      });

      it('lists each old message once, in order', async () => {
        expect(await store.health()).toMatchObject({ ok: true });
        const old = await list('t/old');
        expect(old.map(({ payload }) => payload.toString('latin1'))).toEqual(['first', 'not the first', 'no id', 'empty id', '\u0000ÿ']);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[0]).toEqual({
          ...{ id: '00054981D19EB000F44000000A1F0001', topic: 't/old', clientid: 'old', username: null, qos: 1, retain: false },
          ...{ payload: Buffer.from('first'), expiresAt: null, properties: {} },
          publishReceivedAt: await serverTime('2017-03-01 10:00:00'),
        });
        expect(await list('t/bare')).toEqual([expect.objectContaining({ id: '7xKq2', clientid: '', qos: 0, payload: Buffer.alloc(0) })]);
        expect(await list('t/acked')).toHaveLength(3);
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/acked', 't/bare', 't/old', 't/other']);
      });

      it('keeps the original of every changed id, and can remove an old message', async () => {
        const before = await inMysql(url, 'SELECT msgid_before FROM mqtt_msg WHERE msgid_before IS NOT NULL ORDER BY id');
        const duplicate = { msgid_before: '00054981D19EB000F44000000A1F0001' };
        expect(before).toEqual([duplicate, duplicate, { msgid_before: 'with:colon' }]);
        const [first] = await list('t/old');
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await list('t/old')).toHaveLength(4);
      });

      it('reads old clients, subscriptions, retained messages and read positions', async () => {
        const [late, early] = [await serverTime('2020-01-01 00:00:02'), await serverTime('2020-01-01 00:00:01')];
        expect(await store.getClientState('here')).toEqual({
          clientid: 'here',
          connected: true,
          node: 'emqx@a',
          connectedAt: late,
          disconnectedAt: early,
          at: late,
        });
        expect(await store.getClientState('bare')).toMatchObject({ connected: false, node: null, connectedAt: null, at: 0 });
        await purgeOld(store);
        expect(await store.listSubscriptions('here')).toEqual([
          { clientid: 'here', topic: 't/#', qos: 1 },
          { clientid: 'here', topic: 'u/+', qos: 0 },
        ]);
        const retained = await store.listRetained({ filter: 'r/#', after: '', limit: 10 });
        expect(retained.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([
          ['r/1', 'kept'],
          ['r/2', 'no id'],
        ]);
        const newer = message({ topic: 'r/2', retain: true });
        await store.putRetained([newer]);
        expect(await store.listRetained({ filter: 'r/2', after: '', limit: 10 })).toEqual([newer]);
        const position = async (consumer: string) => (await store.getPositions(consumer, ['t/acked']))[0]?.id;
        expect(await position('reader')).toBe('base62a');
        expect(await position('late')).toBe('base62b');
        expect(await position('early')).toBeUndefined();
      });

      it("has an index for EMQX's readers, which new tables do without", async () => {
        const indexes = (of: string) => inMysql(of, `SHOW INDEX FROM mqtt_msg WHERE Key_name = 'topic_index'`);
        expect(await indexes(url)).toHaveLength(1);
        const empty = await prepare('offline_refused');
        await empty.open().migrate();
        expect(await indexes(empty.url)).toEqual([]);
      });

      it("keeps the columns that EMQX's readers select", async () => {
        const binary = message({ topic: 't/new', payload: Buffer.from([0xff, 0]), qos: 2, retain: true });
        await store.saveMessages([binary]);
        expect(
          await inMysql(
            url,
            `SELECT msgid, sender, topic, qos, retain, payload, arrived IS NOT NULL AS arrived FROM mqtt_msg WHERE topic = 't/new'`,
          ),
        ).toEqual([{ msgid: binary.id, sender: 'publisher', topic: 't/new', qos: 2, retain: 1, payload: binary.payload, arrived: 1 }]);
      });
    });

    it.each([
      ['a view', 'CREATE VIEW mqtt_msg AS SELECT 1 AS id', /mqtt_msg is a view/],
      ['another table of that name', 'CREATE TABLE mqtt_sub (clientid text, subject text)', /mqtt_sub has no column topic/],
      [
        'a column of another type',
        'CREATE TABLE mqtt_sub (clientid text, topic text, qos datetime)',
        /mqtt_sub.qos is datetime, expected a number/,
      ],
      [
        'a column that must be filled',
        'CREATE TABLE mqtt_sub (clientid text, topic text, qos int, tenant int NOT NULL)',
        /mqtt_sub.tenant must be filled/,
      ],
      [
        'partitions',
        'CREATE TABLE mqtt_acked (clientid varchar(9), topic varchar(9), mid int NOT NULL) PARTITION BY HASH(mid) PARTITIONS 2',
        /mqtt_acked has partitions/,
      ],
    ])('is rejected without changes: %s', async (_, sql, reason) => {
      const { url, open } = await prepare('offline_refused', sql);
      const catalogue = () =>
        inMysql(
          url,
          'SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, 2',
        );
      const before = await catalogue();
      const store = open();
      await expect(store.migrate()).rejects.toThrow(reason);
      await expect(store.migrate()).rejects.toThrow(RefusedError);
      expect(await catalogue()).toEqual(before);
      expect((await store.health()).ok).toBe(false);
    });

    it('is rejected for a schema of a newer release', async () => {
      const { url, open } = await prepare('offline_refused');
      await open().migrate();
      await inMysql(url, `INSERT INTO mqtt_offline_migration (version, name) VALUES (99, 'from the future')`);
      await expect(open().migrate()).rejects.toThrow(/version 99.*upgrade/);
    });

    // What a server that died in the middle leaves: each step can be repeated.
    it('continues after an interrupted migration', async () => {
      const { url, open } = await prepare('offline_refused', ORIGINAL, ROWS);
      const store = open();
      await store.migrate();
      await inMysql(
        url,
        'DELETE FROM mqtt_offline_migration',
        'ALTER TABLE mqtt_msg DROP KEY mqtt_msg_msgid, ADD KEY mqtt_msg_same (msgid), DROP KEY mqtt_msg_topic_key_msgid, DROP KEY mqtt_msg_expires_at',
      );
      await open().migrate();
      expect(await store.listMessages({ topic: 't/old', after: '', limit: 100, now: 0 })).toHaveLength(5);
      expect(await inMysql(url, `SHOW INDEX FROM mqtt_msg WHERE Key_name = 'mqtt_msg_msgid'`)).toHaveLength(1);
    });

    // The proof that nothing of the old tables is in the way.
    let suite: ReturnType<typeof prepare> | null = null;
    conformance(`on ${name} that EMQX filled`, {
      open: async () => (await (suite ??= prepare('offline_takeover_suite', ORIGINAL, ROWS))).open(),
      many: 1_000,
    });
  });
});
