import { Client } from 'pg';
import { RetryableError } from '../../src/base/errors';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { ORIGINAL, ROWS } from './emqx-tables';

/** Tools that copy tables (logical replication, a dump of the data alone) bring the rows, but not the state of the sequences. */
const BEHIND = `SELECT setval(pg_get_serial_sequence(name, 'id'), 1, false)
  FROM unnest('{mqtt_msg,mqtt_client,mqtt_sub,mqtt_retain,mqtt_acked}'::text[]) AS name`;

describe('a table whose sequence is behind its rows', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let [store, client]: [PostgresStore?, Client?] = [];
    const prepare = async (...sql: string[]): Promise<{ store: PostgresStore; client: Client }> => {
      const url = await emptyDatabase(server, 'offline_numbers');
      client = new Client({ connectionString: url });
      await client.connect();
      for (const statements of sql) await client.query(statements);
      store = new PostgresStore({ connectionString: url });
      return { store, client };
    };
    afterEach(() => Promise.all([store?.close(), client?.end()]));

    it('is taken over, and the next rows get numbers behind them', async () => {
      const { store, client } = await prepare(ORIGINAL, ROWS, BEHIND);
      await store.migrate();
      const saved = message({ topic: 'new', retain: true });
      expect(await store.saveMessages([saved])).toEqual([]);
      expect(await store.getMessage(saved.id)).toEqual(saved);
      expect(await store.putRetained([saved])).toEqual([]);
      const now = Date.now();
      await store.saveClientStates([{ clientid: 'new', connected: true, node: null, connectedAt: now, disconnectedAt: null, at: now }]);
      await store.putSubscriptions([{ clientid: 'new', topic: 'new', qos: 1 }]);
      await store.putPositions([{ consumer: 'new', topic: 'new', id: saved.id, receipts: [] }]);
      const { rows } = await client.query(`SELECT (SELECT max(id) FROM mqtt_msg) AS newest, id FROM mqtt_msg WHERE topic = 'new'`);
      expect(rows).toEqual([{ newest: '14', id: '14' }]);
    });

    // The guard is that ON CONFLICT names the key. Without it the save reports success and stores nothing.
    it('is an error of the table, not of the messages, if it falls behind later', async () => {
      const { store, client } = await prepare(ORIGINAL, ROWS);
      await store.migrate();
      await client.query(BEHIND);
      const batch = [message({ topic: 'late' }), message({ topic: 'late' })];
      await expect(store.saveMessages(batch)).rejects.toThrow(RetryableError);
      await client.query(`SELECT setval(pg_get_serial_sequence('mqtt_msg', 'id'), max(id)) FROM mqtt_msg`);
      expect(await store.saveMessages(batch)).toEqual([]);
      expect(await store.listMessages({ topic: 'late', after: '', limit: 10, now: Date.now() })).toEqual(batch);
    });

    it("refuses only messages that an operator's own unique key refuses", async () => {
      const { store, client } = await prepare();
      await store.migrate();
      await client.query('CREATE UNIQUE INDEX own ON mqtt_msg (sender, payload)');
      const [first, same, other] = ['x', 'x', 'y'].map((text) => message({ topic: 'own', payload: Buffer.from(text) }));
      expect(await store.saveMessages([first!, same!, other!])).toEqual([
        { id: same!.id, reason: expect.stringContaining('unique constraint "own"') as string },
      ]);
      // What is stored already is not refused.
      expect(await store.saveMessages([first!, other!])).toEqual([]);
      expect(await store.listMessages({ topic: 'own', after: '', limit: 10, now: Date.now() })).toEqual([first, other]);
    });
  });
});
