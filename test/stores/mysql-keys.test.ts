import { parseStatement } from '../../src/config/statements';
import { RetryableError } from '../../src/base/errors';
import { MysqlStore } from '../../src/stores/mysql';
import { connectionOf } from '../../src/stores/mysql/connection';
import { Database } from '../../src/stores/mysql/database';
import { operated } from '../../src/stores/shared/operator';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';

const DATABASE = 'offline_keys';
const INSERT =
  'insert into mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) values (${id}, ${from}, ${topic}, ${qos}, 0, ${payload}, now())';

describe.each(['mysql', 'mariadb'] as const)('%s', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const stores: Store[] = [];
    const prepare = async () => {
      const empty = await emptyMysql(server, DATABASE);
      const store = new MysqlStore(empty);
      stores.push(store);
      await store.migrate();
      return { store, empty, url: empty.href() };
    };
    const listed = (store: Store, topic: string) => store.listMessages({ topic, after: '', limit: 10, now: Date.now() });
    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
      await inMysql(server, `DROP DATABASE ${DATABASE}`);
    });

    // Promise 1. The guard is STORED_BEFORE: without it the save reports success and stores nothing.
    it("refuses only messages that an operator's own unique key refuses", async () => {
      const { store, url } = await prepare();
      await inMysql(url, 'CREATE UNIQUE INDEX own ON mqtt_msg (sender(20), payload(20))');
      const [first, same, other] = ['x', 'x', 'y'].map((text) => message({ topic: 'own', payload: Buffer.from(text) }));
      expect(await store.saveMessages([first!, same!, other!])).toEqual([
        { id: same!.id, reason: expect.stringContaining('unique key') as string },
      ]);
      // What is stored already is not refused.
      expect(await store.saveMessages([first!, other!])).toEqual([]);
      expect(await listed(store, 'own')).toEqual([first, other]);
    });

    // Promise 13. The guard is `completion`: the whole batch failed, and the message was in the table all the same.
    it("refuses a message alone whose user name the table refuses, also with the operator's statement", async () => {
      const { store, url } = await prepare();
      const own = operated(store, { INSERT_MESSAGE: parseStatement('INSERT_MESSAGE', INSERT) });
      await inMysql(url, `ALTER TABLE mqtt_msg ADD CHECK (username <> 'poison')`);
      const [first, poison, last] = [null, 'poison', null].map((username) => message({ topic: 'checked', username }));
      expect(await own.saveMessages([first!, poison!, last!])).toEqual([{ id: poison!.id, reason: expect.any(String) as string }]);
      expect(await listed(store, 'checked')).toEqual([first, last]);
    });

    // Promise 14. The guard is isReadOnly: the connection was used for ever.
    it('leaves a connection to a server that takes no writes', async () => {
      const { empty } = await prepare();
      const db = new Database(connectionOf(empty, 'STORE_URL'));
      const save = () => db.together(['BEGIN', `INSERT INTO mqtt_tombstone VALUES ('x', 1)`, 'COMMIT']);
      const saveByKnex = () => db.rows(`INSERT INTO mqtt_tombstone VALUES ('y', 1)`);
      for (const each of [save, saveByKnex]) {
        await db.rows('SET SESSION TRANSACTION READ ONLY');
        await expect(each()).rejects.toThrow(RetryableError);
        await each();
      }
      await db.close();
    });
  });
});
