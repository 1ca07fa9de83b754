import { Client } from 'pg';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';

/** The tables as EMQX's own backends and recipes create them. */
const ORIGINAL = `
  CREATE TABLE mqtt_msg (id SERIAL8 PRIMARY KEY, msgid character varying(64), sender character varying(64), topic character varying(255),
    qos integer, retain integer, payload text, arrived timestamp without time zone);
  CREATE TABLE mqtt_client (id SERIAL8 PRIMARY KEY, clientid character varying(64), state integer, node character varying(64),
    online_at timestamp, offline_at timestamp, created timestamp without time zone, UNIQUE (clientid));
  CREATE TABLE mqtt_sub (id SERIAL8 PRIMARY KEY, clientid character varying(64), topic character varying(255), qos integer, created timestamp,
    UNIQUE (clientid, topic));
  CREATE TABLE mqtt_retain (id SERIAL8 PRIMARY KEY, topic character varying(255), msgid character varying(64), sender character varying(64),
    qos integer, payload text, arrived timestamp, UNIQUE (topic));
  CREATE TABLE mqtt_acked (id SERIAL8 PRIMARY KEY, clientid character varying(64), topic character varying(64), mid integer, created timestamp,
    UNIQUE (clientid, topic));`;

const ROWS = `
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) VALUES
    ('0005A10000000000F44000000A9C0001', 'old', 't/1', 1, 0, 'first', '2020-03-17 10:00:00'),
    ('0005A10000000001F44000000A9C0002', 'old', 't/1', -1, 1, 'second', '2020-03-17 10:00:01'),
    ('0005A10000000001F44000000A9C0002', 'old', 't/1', -1, 1, 'second', '2020-03-17 10:00:01'),
    ('0005A10000000001F44000000A9C0002', 'old', 't/2', 1, 0, 'another with the same id', '2020-03-17 10:00:02'),
    (NULL, NULL, 't/2', 2, 0, 'without an id', '2020-03-17 10:00:03');
  INSERT INTO mqtt_client (clientid, state, node, online_at) VALUES ('c1', 1, 'emqx@127.0.0.1', '2020-03-17 09:00:00');
  INSERT INTO mqtt_sub (clientid, topic, qos) VALUES ('c1', 't/#', -1), ('c1', 'u', 2);
  INSERT INTO mqtt_retain (topic, msgid, sender, qos, payload, arrived) VALUES ('r/1', '0005A1', 'old', 1, 'kept', '2020-03-17 10:00:00');
  INSERT INTO mqtt_acked (clientid, topic, mid) VALUES ('c1', 't/1', 1);`;

describe('postgres takes over what EMQX left', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    const open = async (name: string, sql: string) => {
      const url = await emptyDatabase(server, name);
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query(sql);
      return { client, store: new PostgresStore({ connectionString: url }) };
    };

    it('with every row, once, in order and deliverable', async () => {
      const { client, store } = await open('offline_takeover', ORIGINAL + ROWS);
      await store.migrate();
      await store.migrate();
      const list = async (topic: string) => store.listMessages({ topic, after: '', limit: 10, now: Date.now() });
      const texts = async (topic: string) => (await list(topic)).map(({ payload }) => payload.toString());
      expect(await store.listTopics({ filter: 't/+', after: '', limit: 10 })).toEqual(['t/1', 't/2']);
      expect(await texts('t/1')).toEqual(['first', 'second']);
      expect((await texts('t/2')).sort()).toEqual(['another with the same id', 'without an id']);
      const [first, second] = await list('t/1');
      expect(first).toMatchObject({ clientid: 'old', qos: 1, retain: false, expiresAt: null, properties: {} });
      expect(second).toMatchObject({ qos: 0, retain: true });
      const { rows } = await client.query<{ ms: string }>(`SELECT extract(epoch FROM '2020-03-17 10:00:00'::timestamptz) * 1000 AS ms`);
      expect(first!.publishReceivedAt).toBe(Number(rows[0]!.ms));
      expect(await store.getClientState('c1')).toMatchObject({ connected: true, node: 'emqx@127.0.0.1' });
      expect(await store.listSubscriptions('c1')).toEqual([
        { clientid: 'c1', topic: 't/#', qos: 0 },
        { clientid: 'c1', topic: 'u', qos: 2 },
      ]);
      expect((await store.listRetained({ filter: '#', after: '', limit: 10 })).map(({ payload }) => payload.toString())).toEqual(['kept']);
      expect(await store.getPositions('c1', ['t/1'])).toEqual([{ consumer: 'c1', topic: 't/1', id: first!.id, receipts: [] }]);
      await client.end();
      await store.close();
    });

    it('or says why it cannot, and changes nothing', async () => {
      const { client, store } = await open('offline_takeover_refused', `CREATE VIEW mqtt_msg AS SELECT 1 AS id, 'x' AS topic; CREATE TABLE mqtt_sub (clientid text)`);
      await expect(store.migrate()).rejects.toThrow(/mqtt_msg/);
      const { rows } = await client.query<{ name: string }>(`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`);
      expect(rows.map(({ name }) => name)).toEqual(['mqtt_msg', 'mqtt_sub']);
      expect((await store.health()).ok).toBe(false);
      await client.end();
      await store.close();
    });
  });
});
