import { Client } from 'pg';
import { parseStatement } from '../../src/config/statements';
import { PostgresStore } from '../../src/stores/postgres';
import { operated } from '../../src/stores/shared/operator';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';

const LOCK = 4_712;
const INSERT = 'insert into mqtt_msg (msgid, sender, topic, qos, retain, payload) values (${id}, ${from}, ${topic}, ${qos}, 0, ${payload})';
/** The server fills in its own columns with an UPDATE, which waits here until the test lets it go on. */
const PAUSE = `
  CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_lock_shared(${LOCK});
    PERFORM pg_advisory_unlock_shared(${LOCK});
    RETURN NEW;
  END $$;
  CREATE TRIGGER pause BEFORE UPDATE ON mqtt_msg FOR EACH ROW EXECUTE FUNCTION pause()`;

describe("a message that the operator's statement stores", () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let [store, client]: [Store?, Client?] = [];
    beforeAll(async () => {
      const url = await emptyDatabase(server, 'offline_own_statements');
      store = operated(new PostgresStore({ connectionString: url }), { INSERT_MESSAGE: parseStatement('INSERT_MESSAGE', INSERT) });
      await store.migrate();
      client = new Client({ connectionString: url });
      await client.connect();
      await client.query(PAUSE);
    });
    afterAll(() => Promise.all([store?.close(), client?.end()]));

    // Promise 11. The guard is `completion`: a client got an empty message, and its acknowledgement removed the right one.
    it('is not seen before it is complete', async () => {
      const [db, own] = [store!, client!];
      const list = () => db.listMessages({ topic: 'own', after: '', limit: 10, now: Date.now() });
      const properties = { contentType: 'image/png' };
      const saved = [message({ topic: 'own', payload: Buffer.from([0xff, 0]), properties }), message({ topic: 'own' })];
      await own.query(`SELECT pg_advisory_lock(${LOCK})`);
      const saving = db.saveMessages(saved);
      await waitFor('the pause', async () => {
        const { rows } = await own.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = ${LOCK} AND NOT granted`);
        return rows.length === 1;
      });
      const seen = await list();
      await own.query(`SELECT pg_advisory_unlock(${LOCK})`);
      expect(await saving).toEqual([]);
      expect(seen).toEqual([]);
      expect(await list()).toEqual(saved);
    });

    // Promise 13. Without `completion` the whole batch failed, and the message was in the table all the same.
    it("is refused alone when the database refuses one of the server's own columns", async () => {
      const db = store!;
      await client!.query(`ALTER TABLE mqtt_msg ADD CHECK (username <> 'poison')`);
      const [first, poison, last] = [null, 'poison', null].map((username) => message({ topic: 'checked', username }));
      expect(await db.saveMessages([first!, poison!, last!])).toEqual([
        { id: poison!.id, reason: expect.stringContaining('check constraint') as string },
      ]);
      expect(await db.listMessages({ topic: 'checked', after: '', limit: 10, now: Date.now() })).toEqual([first, last]);
    });
  });
});
