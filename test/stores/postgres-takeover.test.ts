import { Client } from 'pg';
import { RefusedError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { PostgresStore } from '../../src/stores/postgres';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { conformance } from './conformance';
import { ORIGINAL, ROWS } from './emqx-tables';
import { expectPlannedTakeover } from './planned-takeover';
import { purgeOld } from './purge-old';

describe('postgres takeover', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    const databases: string[] = [];
    const clients: Client[] = [];
    const stores: Store[] = [];

    /** A database with these tables, and a store on it. */
    const prepare = async (...sql: string[]): Promise<{ url: string; client: Client; store: Store }> => {
      const name = `offline_takeover_${databases.length}`;
      const url = await emptyDatabase(server, name);
      databases.push(name);
      const client = new Client({ connectionString: url });
      await client.connect();
      clients.push(client);
      for (const statements of sql) await client.query(statements);
      const store = new PostgresStore({ connectionString: url });
      stores.push(store);
      return { url, client, store };
    };
    afterAll(async () => {
      await Promise.all([...stores.map((store) => store.close()), ...clients.map((client) => client.end())]);
      const client = new Client({ connectionString: server });
      await client.connect();
      for (const name of databases) await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await client.end();
    });
    const list = (store: Store, topic: string): Promise<Message[]> => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });

    describe("of a database with rows of EMQX's plugin", () => {
      let store: Store;
      let client: Client;
      beforeAll(async () => {
        const prepared = await prepare(ORIGINAL, ROWS);
        ({ store, client } = prepared);
        const other = new PostgresStore({ connectionString: prepared.url });
        await Promise.all([store.migrate(), other.migrate()]);
        await other.close();
        await store.migrate();
      });

      it('is healthy', async () => {
        expect(await store.health()).toMatchObject({ ok: true });
      });

      it('lists each old message once, in order', async () => {
        const old = await list(store, 't/old');
        expect(old.map(({ payload }) => payload.toString())).toEqual(['first', 'not the first', 'no id', 'empty id', 'strange id']);
        expect(new Set(old.map(({ id }) => id)).size).toBe(5);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[0]).toEqual({
          ...{ id: '00054981D19EB000F44000000A1F0001', topic: 't/old', clientid: 'old', username: null, qos: 1, retain: false },
          ...{ payload: Buffer.from('first'), expiresAt: null, properties: {} },
          publishReceivedAt: await serverTime(client, '2017-03-01 10:00:00'),
        });
        expect(old[2]).toMatchObject({ qos: 2, retain: true, publishReceivedAt: await serverTime(client, '2017-03-01 10:00:07.25') });
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/acked', 't/bare', 't/old', 't/other']);
      });

      it('keeps the original of every changed id', async () => {
        const { rows } = await client.query(`SELECT payload, msgid_before FROM mqtt_msg WHERE msgid_before IS NOT NULL ORDER BY payload`);
        expect(rows).toEqual([
          { payload: 'first', msgid_before: '00054981D19EB000F44000000A1F0001' },
          { payload: 'not the first', msgid_before: '00054981D19EB000F44000000A1F0001' },
          { payload: 'strange id', msgid_before: 'with:colon' },
        ]);
        expect(await store.countMessages()).toBe(12);
      });

      it('reads rows with empty columns', async () => {
        expect(await list(store, 't/bare')).toEqual([
          expect.objectContaining({ id: '7xKq2', clientid: '', qos: 0, retain: false, payload: Buffer.alloc(0), publishReceivedAt: 0 }),
          expect.objectContaining({ id: 'forever', qos: 0, payload: Buffer.from('é 😀'), publishReceivedAt: 0 }),
        ]);
      });

      it('can remove an old message', async () => {
        const [first] = await list(store, 't/old');
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await list(store, 't/old')).toHaveLength(4);
      });

      it('reads the states of old clients', async () => {
        const [late, early] = [await serverTime(client, '2020-01-01 00:00:02'), await serverTime(client, '2020-01-01 00:00:01')];
        expect(await store.getClientState('here')).toEqual({
          clientid: 'here',
          connected: true,
          node: 'emqx@a',
          connectedAt: late,
          disconnectedAt: early,
          at: late,
        });
        expect(await store.getClientState('gone')).toMatchObject({ connected: false, at: late });
        expect(await store.getClientState('bare')).toMatchObject({ connected: false, node: null, connectedAt: null, at: 0 });
        // An event older than what EMQX wrote changes nothing.
        await store.saveClientStates([
          { clientid: 'here', connected: false, node: 'x', connectedAt: null, disconnectedAt: early, at: early },
        ]);
        expect(await store.getClientState('here')).toMatchObject({ connected: true });
      });

      it('clamps the QoS of old subscriptions', async () => {
        await purgeOld(store);
        expect(await store.listSubscriptions('here')).toEqual([
          { clientid: 'here', topic: 'T/+', qos: 0 },
          { clientid: 'here', topic: 'a', qos: 2 },
          { clientid: 'here', topic: 't/#', qos: 1 },
        ]);
        expect(await store.listSubscriptions('gone')).toEqual([{ clientid: 'gone', topic: 't/1', qos: 0 }]);
      });

      it('keeps old retained messages until newer ones replace them', async () => {
        const filter = 'r/#';
        expect(
          (await store.listRetained({ filter, after: '', limit: 10 })).map(({ topic, payload }) => [topic, payload.toString()]),
        ).toEqual([
          ['r/1', 'kept'],
          ['r/2', 'no id'],
        ]);
        for (const { id } of await store.listRetained({ filter, after: '', limit: 10 })) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        await store.putRetained([message({ topic: 'r/2', retain: true, payload: Buffer.from('new') })]);
        expect((await store.listRetained({ filter: 'r/2', after: '', limit: 10 })).map(({ payload }) => payload.toString())).toEqual([
          'new',
        ]);
      });

      it('continues from the old read positions', async () => {
        const position = async (consumer: string) => (await store.getPositions(consumer, ['t/acked']))[0]?.id;
        expect(await position('reader')).toBe('base62B');
        expect(await position('late')).toBe('base62C');
        expect(await position('early')).toBeUndefined();
        expect(await store.listPositions('bare', '', 10)).toEqual([]);
        expect((await store.positionsOfTopic('t/acked')).map(({ consumer }) => consumer)).toEqual(['late', 'reader']);
      });

      it("keeps the columns that EMQX's readers select", async () => {
        const binary = message({ topic: 't/new', payload: Buffer.from([0xff, 0]) });
        const text = message({ topic: 't/new', payload: Buffer.from('text'), qos: 2, retain: true });
        await store.saveMessages([binary, text]);
        const { rows } = await client.query(`SELECT msgid, sender, topic, qos, retain, payload, arrived IS NOT NULL AS arrived FROM mqtt_msg
          WHERE topic = 't/new' ORDER BY id`);
        const common = { sender: 'publisher', topic: 't/new', arrived: true };
        expect(rows).toEqual([
          { ...common, msgid: binary.id, qos: 1, retain: 0, payload: null },
          { ...common, msgid: text.id, qos: 2, retain: 1, payload: 'text' },
        ]);
      });
    });

    it('is planned by a dry run without changes, and logs its progress', async () => {
      const { store } = await prepare(ORIGINAL, ROWS);
      await expectPlannedTakeover(store, { mqtt_msg: 13, mqtt_client: 3, mqtt_sub: 4, mqtt_retain: 2, mqtt_acked: 4 });
    });

    describe('is rejected with a reason and without changes', () => {
      const msg = (columns: string) => `CREATE TABLE mqtt_msg (${columns})`;
      const all = 'msgid text, sender text, topic text, qos int, retain int, payload text, arrived timestamp';
      it.each([
        ['a view', `CREATE TABLE real_msg (${all}); CREATE VIEW mqtt_msg AS SELECT * FROM real_msg`, /mqtt_msg is a view/],
        ['another table of this name', msg('id bigserial, body jsonb'), /mqtt_msg has no column arrived/],
        [
          'a payload that is no text',
          msg(`id bigserial, ${all.replace('payload text', 'payload bytea')}`),
          /mqtt_msg.payload is bytea, expected text/,
        ],
        [
          'a number as text',
          msg(`id bigserial, ${all.replace('qos int', 'qos varchar(3)')}`),
          /mqtt_msg.qos is character varying\(3\), expected a number/,
        ],
        [
          'a time as a number',
          msg(`id bigserial, ${all.replace('arrived timestamp', 'arrived bigint')}`),
          /mqtt_msg.arrived is bigint, expected a timestamp/,
        ],
        ['a column that we cannot fill', msg(`id bigserial, tenant int NOT NULL, ${all}`), /mqtt_msg.tenant must be filled/],
        ['an id that we cannot fill', msg(`id bigint NOT NULL, ${all}`), /mqtt_msg.id must be filled/],
        ['a view over a short column', `${ORIGINAL} CREATE VIEW report AS SELECT topic FROM mqtt_msg`, /view or rule/],
        [
          'a key that others refer to',
          `${ORIGINAL} CREATE TABLE device (clientid varchar(64) REFERENCES mqtt_client (clientid))`,
          /other objects depend/,
        ],
        [
          'another table among the others',
          `${ORIGINAL} DROP TABLE mqtt_acked; CREATE TABLE mqtt_acked (x int)`,
          /mqtt_acked has no column clientid/,
        ],
      ])('%s', async (_, sql, reason) => {
        const { client, store } = await prepare(sql);
        const before = await catalogue(client);
        const failure = await store.migrate().then(
          () => null,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(RefusedError);
        expect((failure as Error).message).toMatch(reason);
        expect((failure as Error).message.length).toBeLessThan(300);
        expect(await catalogue(client)).toEqual(before);
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/STORE_URL: .*run "emqx-offline-store migrate"/) as string,
        });
      });

      it('a database that is not UTF-8', async () => {
        const { url, client } = await prepare();
        // A run that was killed has left it.
        await client.query('DROP DATABASE IF EXISTS offline_takeover_latin');
        await client.query(`CREATE DATABASE offline_takeover_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
        databases.push('offline_takeover_latin');
        const store = new PostgresStore({ connectionString: Object.assign(new URL(url), { pathname: '/offline_takeover_latin' }).href });
        stores.push(store);
        await expect(store.migrate()).rejects.toThrow(/encoding LATIN1/);
      });

      it('a schema of a newer release', async () => {
        const { client, store } = await prepare();
        await store.migrate();
        await client.query(`INSERT INTO mqtt_offline_migration VALUES (999, '999_later.sql')`);
        await expect(store.migrate()).rejects.toThrow(/version 999.*upgrade/);
        expect(await store.health()).toEqual({ ok: false, detail: expect.stringMatching(/version 999.*upgrade/) as string });
      });
    });

    it('widens keys and columns for long names, in other spellings of the tables', async () => {
      const { store } = await prepare(
        `CREATE TABLE mqtt_msg (id bigint GENERATED ALWAYS AS IDENTITY, msgid text NOT NULL, topic text NOT NULL, sender varchar(9), node varchar(9), qos smallint,
           retain smallint, payload text NOT NULL, arrived timestamptz NOT NULL)`,
        `CREATE TABLE mqtt_sub (clientid varchar(64), topic varchar(255), qos smallint, PRIMARY KEY (clientid, topic))`,
        `CREATE TABLE mqtt_retain (topic varchar(255), msgid text, sender text, qos int, payload text NOT NULL, arrived timestamp)`,
        `CREATE UNIQUE INDEX retain_topic ON mqtt_retain (topic)`,
      );
      await store.migrate();
      const binary = message({ topic: 'a', payload: Buffer.from([0]), clientid: 'longer than nine' });
      expect(await store.saveMessages([binary])).toEqual([]);
      expect(await store.putRetained([binary])).toEqual([]);
      expect(await list(store, 'a')).toEqual([binary]);
    });

    it('needs no right to create tables after it is complete', async () => {
      const { url, client, store } = await prepare();
      await store.migrate();
      await client.query(`DROP ROLE IF EXISTS offline_writer; CREATE ROLE offline_writer LOGIN PASSWORD 'offline_writer';
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO offline_writer; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO offline_writer`);
      const restricted = new PostgresStore({
        connectionString: Object.assign(new URL(url), { username: 'offline_writer', password: 'offline_writer' }).href,
      });
      stores.push(restricted);
      await restricted.migrate();
      const saved = message({ topic: 'restricted' });
      expect(await restricted.saveMessages([saved])).toEqual([]);
      expect(await restricted.removeMessages([saved], Date.now())).toBe(1);
      expect(await restricted.purgeExpired(Date.now(), 10)).toEqual({ removed: 0, more: false });
      await client.query('DROP OWNED BY offline_writer; DROP ROLE offline_writer');
    });

    // The proof that nothing of the old tables is in the way.
    let url: Promise<string> | null = null;
    conformance('on a database that EMQX filled', {
      open: async () => new PostgresStore({ connectionString: await (url ??= prepare(ORIGINAL, ROWS).then((prepared) => prepared.url)) }),
      many: 1_000,
    });
  });
});

/** ms of a timestamp without time zone, as the server reads it. */
async function serverTime(client: Client, text: string): Promise<number> {
  const { rows } = await client.query<{ ms: string }>('SELECT extract(epoch FROM $1::timestamp::timestamptz) * 1000 AS ms', [text]);
  return Number(rows[0]?.ms);
}

/** Every table, column and index. */
async function catalogue(client: Client): Promise<unknown> {
  const { rows } = await client.query(`SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_class c
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 2`);
  return rows;
}
