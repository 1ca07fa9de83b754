import { RefusedError } from '../../src/base/errors';
import { Client } from '../../src/stores/clickhouse/client';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { message } from '../support/messages';
import { ORIGINAL, ROWS } from './clickhouse-tables';
import { expectPlannedTakeover } from './planned-takeover';
import { conformance } from './conformance';

const MSGID_BEFORE = `SELECT payload, extra[indexOf(extra, 'msgid_before') + 1] AS msgid_before FROM mqtt_msg
  WHERE has(extra, 'msgid_before') ORDER BY payload`;

describe.each(CLICKHOUSES)('%s takeover', (backend, server) => {
  withBackends([backend], (urls) => {
    const open: { close(): Promise<void> }[] = [];
    let databases = 0;
    afterAll(() => Promise.all(open.map((each) => each.close())));

    /** A database with these tables, and a store on it. */
    const prepare = async (...statements: string[]): Promise<{ url: string; sql: Sql; store: Store }> => {
      const url = await emptyClickHouse(urls[backend], `offline_takeover_${databases++}`);
      const [sql, store] = [new Sql(url), openClickHouse(url)];
      open.push(sql, store);
      for (const each of statements) await sql.run(each);
      return { url, sql, store };
    };
    const list = (store: Store, topic: string) => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });
    const payloads = async (store: Store, topic: string) => (await list(store, topic)).map(({ payload }) => payload.toString());
    const catalogue = (sql: Sql) =>
      sql.rows(`SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, name`);
    const failureOf = (work: Promise<void>): Promise<unknown> =>
      work.then(
        () => null,
        (error: unknown) => error,
      );

    describe("of a table with rows of EMQX's plugin", () => {
      let store: Store;
      let sql: Sql;
      beforeAll(async () => {
        const prepared = await prepare(ORIGINAL, ROWS);
        ({ store, sql } = prepared);
        const other = openClickHouse(prepared.url);
        await Promise.all([store.migrate(), other.migrate()]);
        await other.close();
        await store.migrate();
      });

      it('is healthy', async () => {
        expect(await store.health()).toMatchObject({ ok: true });
      });

      it('lists each old message once, in order', async () => {
        const old = await list(store, 't/old');
        expect(old.map(({ payload }) => payload.toString())).toEqual([
          'first',
          'not the first',
          'no id',
          'empty id',
          'empty id',
          'strange id',
        ]);
        expect(new Set(old.map(({ id }) => id)).size).toBe(6);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[0]).toEqual({
          ...{ id: '00054981D19EB000F44000000A1F0001', topic: 't/old', clientid: 'old', username: null, qos: 1, retain: false },
          ...{ payload: Buffer.from('first'), publishReceivedAt: 1_488_362_400_000, expiresAt: null, properties: {} },
        });
        expect(old[2]).toMatchObject({ qos: 2, retain: true, publishReceivedAt: 1_488_362_407_250 });
        expect(await payloads(store, 't/other')).toEqual(['first']);
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/bare', 't/old', 't/other']);
        expect(await store.countMessages()).toBe(9);
      });

      it('reads rows with empty columns and times in whole seconds', async () => {
        expect(await list(store, 't/bare')).toEqual([
          expect.objectContaining({ id: '7xKq2', clientid: '', qos: 0, retain: false, payload: Buffer.alloc(0), publishReceivedAt: 0 }),
          expect.objectContaining({ id: 'minus', qos: 0, payload: Buffer.from('é 😀'), publishReceivedAt: 1_488_362_400_000 }),
        ]);
      });

      it('keeps the original of every changed id, and the old table', async () => {
        expect(await sql.rows(MSGID_BEFORE)).toEqual([
          { payload: 'first', msgid_before: '00054981D19EB000F44000000A1F0001' },
          { payload: 'not the first', msgid_before: '00054981D19EB000F44000000A1F0001' },
          { payload: 'strange id', msgid_before: 'with:colon' },
        ]);
        expect(await sql.count('mqtt_msg_emqx')).toBe(10);
      });

      it('can remove an old message', async () => {
        const [first] = await list(store, 't/old');
        expect(await store.getMessage(first!.id)).toEqual(first);
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await list(store, 't/old')).toHaveLength(5);
      });

      it("accepts rows that EMQX's action still writes", async () => {
        await sql.run(
          `INSERT INTO mqtt_msg (msgid, topic, sender, payload, qos, retain, arrived) VALUES ('late', 't/other', 'emqx', 'late', 1, 0, 1488362500000)`,
        );
        expect(await payloads(store, 't/other')).toEqual(['first', 'late']);
      });
    });

    it.each([
      ['while it copies', 'INSERT INTO mqtt_msg_new'],
      ['before the names change', 'RENAME'],
      ['after the names change', 'DROP TABLE IF EXISTS mqtt_msg_new'],
      ['later', 'CREATE TABLE IF NOT EXISTS mqtt_acked'],
    ])('continues after an interruption %s', async (_, where) => {
      const { store } = await prepare(ORIGINAL, ROWS);
      const run = Client.prototype.command;
      let seen = 0;
      const spy = jest.spyOn(Client.prototype, 'command').mockImplementation(function (this: Client, query: string) {
        // The first DROP comes before the copy.
        if (query.startsWith(where) && ++seen > (where.startsWith('DROP') ? 1 : 0)) return Promise.reject(new Error('interrupted'));
        return run.call(this, query);
      });
      await expect(store.migrate()).rejects.toThrow('interrupted');
      spy.mockRestore();
      await store.migrate();
      expect(await payloads(store, 't/old')).toEqual(['first', 'not the first', 'no id', 'empty id', 'empty id', 'strange id']);
    });

    it('is planned by a dry run without changes, and logs its progress', async () => {
      const { store, sql } = await prepare(ORIGINAL, ROWS);
      const rows = (await sql.rows('SELECT * FROM mqtt_msg')).length;
      expect(rows).toBeGreaterThan(0);
      await expectPlannedTakeover(store, { mqtt_msg: rows });
    });

    it('continues after an interrupted exchange of table names', async () => {
      const { sql, store } = await prepare(ORIGINAL, ROWS, 'RENAME TABLE mqtt_msg TO mqtt_msg_emqx');
      await sql.run('CREATE TABLE mqtt_msg_new (x String) ENGINE = MergeTree ORDER BY x');
      await store.migrate();
      expect(await payloads(store, 't/other')).toEqual(['first']);
      expect(await sql.count('mqtt_msg_emqx')).toBe(10);
    });

    it('is not refused while another server exchanges the names of the tables', async () => {
      const { sql, store } = await prepare(ORIGINAL, ROWS);
      const db = Reflect.get(Reflect.get(store, 'migrations') as object, 'db') as Client;
      const rows = db.rows.bind(db);
      let looks = 0;
      db.rows = async <R>(query: string): Promise<R[]> => {
        if (!query.startsWith('SELECT name, type FROM system.columns') || looks++ > 0) return rows<R>(query);
        await sql.run('RENAME TABLE mqtt_msg TO mqtt_msg_emqx');
        const answer = await rows<R>(query);
        await sql.run('RENAME TABLE mqtt_msg_emqx TO mqtt_msg');
        return answer;
      };
      await store.migrate();
      expect(looks).toBeGreaterThan(1);
      expect(await payloads(store, 't/other')).toEqual(['first']);
    });

    it('waits for another process that migrates', async () => {
      const { sql, store } = await prepare(
        'CREATE TABLE mqtt_offline_lock (owner String, at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY at',
        `INSERT INTO mqtt_offline_lock (owner) VALUES ('other')`,
      );
      let done = false;
      const migrated = store.migrate().then(() => (done = true));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect(done).toBe(false);
      await sql.run('DROP TABLE mqtt_offline_lock');
      await migrated;
      expect(await store.health()).toMatchObject({ ok: true });
    });

    describe('is rejected with a reason and without changes', () => {
      const all = 'msgid String, topic String, sender String, payload String, qos Nullable(Int8), retain Nullable(Int8), arrived Int64';
      const table = (columns: string, engine = 'MergeTree ORDER BY tuple()') => `CREATE TABLE mqtt_msg (${columns}) ENGINE = ${engine}`;
      it.each([
        [
          'a view',
          `CREATE TABLE real_msg (${all}) ENGINE = MergeTree ORDER BY msgid;\nCREATE VIEW mqtt_msg AS SELECT * FROM real_msg`,
          /mqtt_msg is a table of the kind View/,
        ],
        ['another engine', table(all, 'Log'), /mqtt_msg is a table of the kind Log, expected MergeTree/],
        ['another table of this name', table('id String, body String'), /mqtt_msg has no column msgid/],
        [
          'a time of another kind',
          table(all.replace('arrived Int64', 'arrived DateTime')),
          /mqtt_msg.arrived is DateTime, expected a whole number/,
        ],
        ['a number as text', table(all.replace('qos Nullable(Int8)', 'qos String')), /mqtt_msg.qos is String, expected a whole number/],
        ['a column more', table(`${all}, tenant String`), /mqtt_msg.tenant is not a column of EMQX's and would be lost/],
        [
          'an older copy',
          `${ORIGINAL};\nCREATE TABLE mqtt_msg_emqx (x String) ENGINE = MergeTree ORDER BY x`,
          /mqtt_msg_emqx is in the way/,
        ],
        [
          'a table of the name of one of ours',
          `${ORIGINAL};\nCREATE TABLE mqtt_topic (x String) ENGINE = MergeTree ORDER BY x`,
          /mqtt_topic is in the way/,
        ],
      ])('%s', async (_, statements, reason) => {
        const { sql, store } = await prepare(statements);
        const before = await catalogue(sql);
        const failure = await failureOf(store.migrate());
        expect(failure).toBeInstanceOf(RefusedError);
        expect((failure as Error).message).toMatch(reason);
        expect(await catalogue(sql)).toEqual(before);
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/^STORE_URL: .*run "emqx-offline-store migrate"/) as string,
        });
      });

      it('a schema of a newer release', async () => {
        const { sql, store } = await prepare();
        await store.migrate();
        await sql.run(`INSERT INTO mqtt_offline_migration (version, name) VALUES (999, '999_later.sql')`);
        await expect(store.migrate()).rejects.toThrow(/version 999.*upgrade/);
        expect(await store.health()).toEqual({ ok: false, detail: expect.stringMatching(/version 999.*upgrade/) as string });
      });
    });

    it('accepts columns of other types', async () => {
      const columns =
        'msgid Nullable(String), topic Nullable(String), sender Nullable(String), payload Nullable(String), qos Int8, retain UInt8, arrived Nullable(Int64)';
      const { store } = await prepare(
        `CREATE TABLE mqtt_msg (${columns}) ENGINE = MergeTree ORDER BY tuple()`,
        `INSERT INTO mqtt_msg (msgid, topic, sender, payload, qos, retain, arrived) VALUES (NULL, 't', NULL, NULL, 1, 1, NULL), ('A', 't', 's', 'p', 2, 0, 5)`,
      );
      await store.migrate();
      expect((await list(store, 't')).map(({ clientid, qos, retain }) => [clientid, qos, retain])).toEqual([
        ['', 1, true],
        ['s', 2, false],
      ]);
    });

    // The proof that nothing of the old table is in the way; the tables are the same on both.
    let url: Promise<string> | null = null;
    if (backend === 'clickhouse')
      conformance(`on a database that EMQX filled, ${server}`, {
        open: async () => openClickHouse(await (url ??= prepare(ORIGINAL, ROWS).then((prepared) => prepared.url))),
        many: 1_000,
      });

    it("stores new messages where EMQX's readers find them", async () => {
      const { sql, store } = await prepare(ORIGINAL);
      await store.migrate();
      const saved = message({ topic: 'new' });
      await store.saveMessages([saved]);
      expect(await sql.rows(`SELECT msgid, payload, arrived FROM mqtt_msg WHERE topic = 'new'`)).toEqual([
        { msgid: saved.id, payload: 'hello', arrived: saved.publishReceivedAt },
      ]);
    });
  });
});
