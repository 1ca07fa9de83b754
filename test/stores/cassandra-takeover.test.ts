import type { Client } from 'cassandra-driver';
import type { MigrationProgress } from '../../src/base/migration';
import { RefusedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { CassandraStore } from '../../src/stores/cassandra';
import type { Database } from '../../src/stores/cassandra/database';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { cassandraClient, dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message } from '../support/messages';
import { conformance } from './conformance';
import { expectPlan, expectTold } from './planned-takeover';
import { purgeOld } from './purge-old';

/** The tables of EMQX's own Cassandra backend. */
const ORIGINAL = [
  `CREATE TABLE mqtt_msg (topic text, msgid text, arrived timestamp, payload text, qos int, retain int, sender text,
     PRIMARY KEY (topic, msgid)) WITH CLUSTERING ORDER BY (msgid DESC)`,
  'CREATE TABLE client (clientid text PRIMARY KEY, node text, state int, connected timestamp, disconnected timestamp)',
  'CREATE TABLE sub (clientid text, topic text, qos int, PRIMARY KEY (clientid, topic))',
  'CREATE TABLE retain (topic text PRIMARY KEY, msgid text)',
  'CREATE TABLE acked (clientid text, topic text, msgid text, PRIMARY KEY (clientid, topic))',
];

/** What they hold, with everything that can be in them. EMQX writes a client's state when it changes. */
const ROWS = [
  `INSERT INTO mqtt_msg (topic, msgid, arrived, payload, qos, retain, sender) VALUES ('t/old', '00054981D19EB000F44000000A1F0001', '2017-03-01 10:00:00+0000', 'first', 1, 0, 'old')`,
  `INSERT INTO mqtt_msg (topic, msgid, arrived, payload, qos, retain, sender) VALUES ('t/other', '00054981D19EB000F44000000A1F0001', '2017-03-01 10:00:06+0000', 'of another topic', 1, 0, 'old')`,
  `INSERT INTO mqtt_msg (topic, msgid, arrived, payload, qos, retain, sender) VALUES ('t/old', '', '2017-03-01 10:00:07.250+0000', 'no id', 2, 1, 'old')`,
  `INSERT INTO mqtt_msg (topic, msgid, arrived, payload, qos, sender) VALUES ('t/old', 'with:colon', '2017-03-01 10:00:08+0000', 'strange id', -1, 'old')`,
  `INSERT INTO mqtt_msg (topic, msgid) VALUES ('t/bare', '2PguFrHsrzEvIIBdctmb')`,
  `INSERT INTO mqtt_msg (topic, msgid, payload, qos) VALUES ('t/bare', '2PguFrHsrzEvIIBdctmc', 'é 😀', 7)`,
  `INSERT INTO mqtt_msg (topic, msgid, arrived, payload, qos, retain, sender) VALUES ('r/1', 'AAA', '2019-01-01 00:00:00+0000', 'kept', 1, 1, 'old')`,
  `INSERT INTO retain (topic, msgid) VALUES ('r/1', 'AAA')`,
  `INSERT INTO retain (topic, msgid) VALUES ('r/2', 'gone')`,
  `INSERT INTO retain (topic) VALUES ('r/3')`,
  `INSERT INTO client (clientid, node, state, connected, disconnected) VALUES ('here', 'emqx@a', 1, '2020-01-01 00:00:02+0000', '2020-01-01 00:00:01+0000') USING TIMESTAMP 1577836802000000`,
  `INSERT INTO client (clientid, node, state, connected, disconnected) VALUES ('gone', 'emqx@a', 0, '2020-01-01 00:00:01+0000', '2020-01-01 00:00:02+0000') USING TIMESTAMP 1577836802000000`,
  `INSERT INTO client (clientid) VALUES ('bare')`,
  `INSERT INTO sub (clientid, topic, qos) VALUES ('here', 't/#', 1)`,
  `INSERT INTO sub (clientid, topic, qos) VALUES ('here', 'T/+', -1)`,
  `INSERT INTO sub (clientid, topic, qos) VALUES ('here', 'a', 9)`,
  `INSERT INTO sub (clientid, topic) VALUES ('gone', 't/1')`,
  `INSERT INTO acked (clientid, topic, msgid) VALUES ('reader', 't/bare', '2PguFrHsrzEvIIBdctmb')`,
  `INSERT INTO acked (clientid, topic) VALUES ('bare', 't/bare')`,
];

describe('cassandra takeover', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    const keyspaces: string[] = [];
    const clients: Client[] = [];
    const stores: Store[] = [];

    /** A keyspace with these tables, and a store on it. */
    const prepare = async (...statements: string[]): Promise<{ url: string; client: Client; store: Store }> => {
      const name = `offline_takeover_${keyspaces.length}`;
      keyspaces.push(name);
      const url = await emptyKeyspace(server, name);
      const client = cassandraClient(server, name);
      clients.push(client);
      for (const statement of statements) await client.execute(statement);
      const store = new CassandraStore(settingsOf(url));
      stores.push(store);
      return { url, client, store };
    };
    afterAll(async () => {
      await Promise.all([...stores.map((store) => store.close()), ...clients.map((client) => client.shutdown())]);
      for (const name of keyspaces) await dropKeyspace(server, name);
    }, 120_000);
    const list = (store: Store, topic: string): Promise<Message[]> => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });

    describe("of a keyspace with rows of EMQX's plugin", () => {
      let store: Store;
      let client: Client;
      beforeAll(async () => {
        const prepared = await prepare(...ORIGINAL, ...ROWS);
        ({ store, client } = prepared);
        const other = new CassandraStore(settingsOf(prepared.url));
        const rows = { mqtt_msg: 7, retain: 3, acked: 2 };
        await expectPlan(store, rows);
        const told: MigrationProgress[] = [];
        // One of them waits for the other, and tells nothing.
        await Promise.all([store, other].map((each) => each.migrate((progress) => told.push(progress))));
        expectTold(told, rows);
        await other.close();
        await store.migrate();
        expect(await store.migrationPlan()).toEqual({ pending: [], takeover: [] });
      }, 120_000);

      it('is healthy', async () => {
        expect(await store.health()).toMatchObject({ ok: true });
      });

      it('lists each old message once, in order', async () => {
        const old = await list(store, 't/old');
        expect(old.map(({ payload }) => payload.toString())).toEqual(['first', 'no id', 'strange id']);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[0]).toEqual({
          ...{ id: expect.any(String) as string, topic: 't/old', clientid: 'old', username: null, qos: 1, retain: false },
          ...{ payload: Buffer.from('first'), expiresAt: null, properties: {}, publishReceivedAt: Date.UTC(2017, 2, 1, 10) },
        });
        expect(old[1]).toMatchObject({ qos: 2, retain: true, publishReceivedAt: Date.UTC(2017, 2, 1, 10, 0, 7, 250) });
        expect(old[2]).toMatchObject({ qos: 0 });
        // One of the two with the same id keeps it.
        const [other] = await list(store, 't/other');
        expect(other?.payload.toString()).toBe('of another topic');
        expect([old[0]!.id, other!.id].filter((id) => id === '00054981D19EB000F44000000A1F0001')).toHaveLength(1);
        expect(new Set([...old, other!].map(({ id }) => id)).size).toBe(4);
        for (const each of [...old, other!]) expect(await store.getMessage(each.id)).toEqual(each);
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['r/1', 't/bare', 't/old', 't/other']);
        expect(await store.countMessages()).toBe(7);
      });

      it('keeps the original of every changed id', async () => {
        const { rows } = await client.execute('SELECT payload, msgid, msgid_before FROM mqtt_msg');
        const changed = rows
          .filter((row) => row['msgid_before'] !== null)
          .map((row) => [row['payload'] as string, row['msgid_before'] as string]);
        expect(changed).toEqual(
          expect.arrayContaining([
            ['no id', ''],
            ['strange id', 'with:colon'],
          ]),
        );
        expect(changed).toHaveLength(3);
        expect(rows.filter((row) => row['msgid'] === '')).toEqual([]);
      });

      it('reads rows with empty columns', async () => {
        expect(await list(store, 't/bare')).toEqual([
          expect.objectContaining({
            id: '2PguFrHsrzEvIIBdctmb',
            clientid: '',
            qos: 0,
            retain: false,
            payload: Buffer.alloc(0),
            publishReceivedAt: 0,
          }),
          expect.objectContaining({ id: '2PguFrHsrzEvIIBdctmc', qos: 2, payload: Buffer.from('é 😀'), publishReceivedAt: 0 }),
        ]);
      });

      it('can remove an old message', async () => {
        const [first] = await list(store, 't/old');
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await list(store, 't/old')).toHaveLength(2);
      });

      it('reads the states of old clients', async () => {
        const [early, late] = [Date.UTC(2020, 0, 1, 0, 0, 1), Date.UTC(2020, 0, 1, 0, 0, 2)];
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
        // An event older than what EMQX wrote changes nothing, a newer one does.
        await store.saveClientStates([
          { clientid: 'here', connected: false, node: 'x', connectedAt: null, disconnectedAt: early, at: early },
        ]);
        expect(await store.getClientState('here')).toMatchObject({ connected: true, node: 'emqx@a' });
        await store.saveClientStates([
          { clientid: 'here', connected: false, node: 'x', connectedAt: null, disconnectedAt: late + 1, at: late + 1 },
        ]);
        expect(await store.getClientState('here')).toMatchObject({ connected: false, connectedAt: late, at: late + 1 });
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

      it('keeps old acknowledged retained messages until newer ones replace them', async () => {
        const retained = async () =>
          (await store.listRetained({ filter: 'r/#', after: '', limit: 10 })).map(({ topic, payload }) => [topic, payload.toString()]);
        expect(await retained()).toEqual([['r/1', 'kept']]);
        expect(await store.removeMessages([{ topic: 'r/1', id: 'AAA' }], Date.now() + 60_000)).toBe(1);
        expect(await retained()).toEqual([['r/1', 'kept']]);
        await store.putRetained(['r/2', 'r/3'].map((topic) => message({ topic, id: 'zzz', retain: true, payload: Buffer.from('new') })));
        expect(await retained()).toEqual([
          ['r/1', 'kept'],
          ['r/2', 'new'],
          ['r/3', 'new'],
        ]);
      });

      it('continues from the old read positions', async () => {
        // Maintenance has noted that they were seen then, and not deleted them.
        const receipts = [expect.stringMatching(/^@\d{13}$/) as string];
        expect(await store.getPositions('reader', ['t/bare'])).toEqual([
          { consumer: 'reader', topic: 't/bare', id: '2PguFrHsrzEvIIBdctmb', receipts },
        ]);
        expect(await store.listPositions('bare', '', 10)).toEqual([]);
        expect((await store.positionsOfTopic('t/bare')).map(({ consumer }) => consumer)).toEqual(['reader']);
      });

      it("keeps the columns that EMQX's readers select", async () => {
        const binary = message({ topic: 't/new', payload: Buffer.from([0xff, 0]) });
        const text = message({ topic: 't/new', payload: Buffer.from('text'), qos: 2, retain: true });
        await store.saveMessages([binary, text]);
        const { rows } = await client.execute(`SELECT msgid, sender, qos, retain, payload, arrived FROM mqtt_msg WHERE topic = 't/new'`);
        const common = { sender: 'publisher', arrived: expect.any(Object) as Date };
        expect(rows.map((row) => ({ ...row }))).toEqual([
          { ...common, msgid: text.id, qos: 2, retain: 1, payload: 'text' },
          { ...common, msgid: binary.id, qos: 1, retain: 0, payload: null },
        ]);
      });
    });

    it('changes nothing when it is repeated after an interrupted step', async () => {
      const { client, store } = await prepare(...ORIGINAL, ...ROWS);
      await store.migrate();
      const before = await list(store, 't/old');
      await client.execute('TRUNCATE mqtt_offline_migration');
      await store.migrate();
      expect(await list(store, 't/old')).toEqual(before);
      expect(await store.countMessages()).toBe(7);
    }, 120_000);

    describe('is rejected with a reason and without changes', () => {
      const all = 'topic text, msgid text, sender text, qos int, retain int, payload text, arrived timestamp';
      const msg = (columns: string, key = '(topic, msgid)') => `CREATE TABLE mqtt_msg (${columns}, PRIMARY KEY ${key})`;
      it.each<[string, string[], RegExp]>([
        ['another table of this name', [msg('topic text, msgid text, body text')], /mqtt_msg has no column arrived/],
        ['a payload that is no text', [msg(all.replace('payload text', 'payload blob'))], /mqtt_msg.payload is blob, expected text/],
        ['another key', [msg(all, '(msgid, topic)')], /mqtt_msg.msgid is in the partition key, expected a clustering column/],
        [
          'a key of more',
          [msg(`${all}, tenant text`, '(topic, msgid, tenant)')],
          /mqtt_msg.tenant is a clustering column, expected outside the key/,
        ],
        ['a column of ours with another meaning', [msg(`${all}, username int`)], /mqtt_msg.username is int, expected text/],
        ['another table among the others', ['CREATE TABLE client (id int PRIMARY KEY, name text)'], /client has no column clientid/],
        [
          'the other spelling',
          ['CREATE TABLE acked (client_id text, topic text, msgid text, PRIMARY KEY (client_id, topic))'],
          /run: ALTER TABLE acked RENAME client_id TO clientid/,
        ],
      ])('%s', async (_, statements, reason) => {
        const { client, store } = await prepare(...statements);
        const catalogue = async () =>
          (
            await client.execute('SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?', [
              client.keyspace,
            ])
          ).rows;
        const before = await catalogue();
        const failure = await store.migrate().then(
          () => null,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(RefusedError);
        expect((failure as Error).message).toMatch(reason);
        expect((failure as Error).message.length).toBeLessThan(300);
        expect(await catalogue()).toEqual(before);
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/STORE_URL: .*run "emqx-offline-store migrate"/) as string,
        });
      });

      it('a schema of a newer release', async () => {
        const { client, store } = await prepare();
        await store.migrate();
        await client.execute(`INSERT INTO mqtt_offline_migration (version, name) VALUES (999, '999_later.cql')`);
        await expect(store.migrate()).rejects.toThrow(/version 999.*upgrade/);
        expect(await store.health()).toEqual({ ok: false, detail: expect.stringMatching(/version 999.*upgrade/) as string });
      }, 120_000);
    });

    it('waits for another process that migrates, and continues when that has died', async () => {
      const { client, store } = await prepare();
      await client.execute('CREATE TABLE mqtt_offline_migration (version int PRIMARY KEY, name text, applied_at timestamp)');
      const started = Date.now();
      await client.execute(`INSERT INTO mqtt_offline_migration (version, name) VALUES (0, 'another') IF NOT EXISTS USING TTL 3`);
      await store.migrate();
      expect(Date.now() - started).toBeGreaterThan(1_500);
      expect(await store.health()).toMatchObject({ ok: true });
    }, 120_000);

    it('promise 21: a process that stood still does not bring back a message that its successor removed', async () => {
      const { url, client, store: slow } = await prepare(...ORIGINAL, ...ROWS);
      const serving = new CassandraStore(settingsOf(url));
      stores.push(serving);
      const db = Reflect.get(slow, 'db') as Database;
      const rows = db.rows.bind(db);
      let stoodStill = 0;
      db.rows = async <R>(...args: Parameters<Database['rows']>): Promise<R[]> => {
        const found = await rows<R>(...args);
        const [cql, params = []] = args;
        if (!cql.includes('FROM mqtt_msg WHERE topic = ? AND msgid = ?') || params[1] !== 'with:colon' || stoodStill++ > 0) return found;
        // Its lock ends, and it goes on two minutes later.
        await client.execute('DELETE FROM mqtt_offline_migration WHERE version = 0 IF EXISTS');
        await serving.migrate();
        const messages = await list(serving, 't/old');
        expect(messages).toHaveLength(3);
        await serving.removeMessages(messages, Date.now() + 60_000);
        db.timestamp = () => (Date.now() + 120_000) * 1_000;
        return found;
      };
      await expect(slow.migrate()).rejects.toThrow(RetryableError);
      expect(stoodStill).toBeGreaterThan(0);
      expect(await list(serving, 't/old')).toEqual([]);
    }, 120_000);

    // The proof that nothing of the old tables is in the way.
    let url: Promise<string> | null = null;
    conformance('on a keyspace that EMQX filled', {
      open: async () => new CassandraStore(settingsOf(await (url ??= prepare(...ORIGINAL, ...ROWS).then((prepared) => prepared.url)))),
      many: 1_000,
    });
  });
});
