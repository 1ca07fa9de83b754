import { createConnection, type Connection } from 'mysql2/promise';
import { RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { MysqlStore } from '../../src/stores/mysql';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';

const DATABASE = 'offline_interleaving';
const soon = () => Date.now() + 60_000;

/**
 * Two server processes at each step of the other (promises 2 and 3). A third session holds a lock at which saveMessages()
 * stops between its steps. It looks for three tombstones one by one, and for 40 in the range of their ids.
 */
describe.each([
  ['mysql', 3],
  ['mysql', 40],
  ['mariadb', 3],
  ['mariadb', 40],
] as const)('%s: a save and a removal of the same %i messages', (name, size) => {
  withBackends([name], ({ [name]: server }) => {
    let [saving, removing]: MysqlStore[] = [];
    let outside: Connection;
    let url: string;
    beforeAll(async () => {
      const empty = await emptyMysql(server, DATABASE);
      url = empty.href();
      [saving, removing] = [new MysqlStore(empty), new MysqlStore(empty)];
      await saving.migrate();
      // With a few rows only, the database would read the table from its beginning instead of looking for each id.
      const others = Array.from({ length: 2_000 }, (_, i) => `('other${i}', ${soon()})`);
      await inMysql(url, `INSERT INTO mqtt_tombstone VALUES ${others.join()}`, 'ANALYZE TABLE mqtt_tombstone');
      outside = await createConnection(url);
    });
    afterAll(async () => {
      await Promise.all([saving?.close(), removing?.close(), outside.end()]);
      await inMysql(server, `DROP DATABASE ${DATABASE}`);
    });

    /** Three messages that a test looks at. Larger batches have more between the second and the third. */
    function newBatch() {
      const all = Array.from({ length: size }, () => message({ topic: 't' }));
      const [first, second, third] = [all[0], all[1], all.at(-1)] as [Message, Message, Message];
      const without = (...gone: Message[]) => all.filter((each) => !gone.includes(each)).map(({ id }) => id);
      return { all, first, second, third, without };
    }
    const stored = async () => (await removing!.listMessages({ topic: 't', after: '', limit: 100, now: 0 })).map(({ id }) => id);
    const isDone = (work: Promise<unknown>) =>
      Promise.race([work.then(() => true), new Promise((resolve) => setTimeout(resolve, 300, false))]);

    /** saveMessages() has inserted the batch and waits, because it cannot yet tell whether this id has a tombstone. */
    async function savedUpTo(id: string, batch: readonly Message[]) {
      await outside.query('BEGIN');
      await outside.query('INSERT INTO mqtt_tombstone VALUES (?, ?)', [id, soon()]);
      const save = saving!.saveMessages(batch);
      while (!(await isWaiting())) expect(await isDone(save)).toBe(false);
      return { save, goOn: (how: 'COMMIT' | 'ROLLBACK') => outside.query(how) };
    }
    const isWaiting = async () =>
      (
        await inMysql(
          server,
          `SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id
           WHERE db = '${DATABASE}' AND trx_state = 'LOCK WAIT'`,
        )
      ).length > 0;

    afterEach(() => outside.query('ROLLBACK'));
    beforeEach(() => inMysql(url, 'DELETE FROM mqtt_msg', `DELETE FROM mqtt_tombstone WHERE msgid NOT LIKE 'other%'`));

    it('removes what was acknowledged after the save had looked for its tombstone', async () => {
      const { all, first, third, without } = newBatch();
      const { save, goOn } = await savedUpTo(third.id, all);
      const removal = removing!.removeMessages([first], soon());
      // The removal waits for the message that it cannot see yet.
      expect(await isDone(removal)).toBe(false);
      await goOn('ROLLBACK');
      expect([await save, await removal]).toEqual([[], 1]);
      expect(await stored()).toEqual(without(first));
    });

    it('removes what was acknowledged after the insert and before the save looked for its tombstone', async () => {
      const { all, first, third, without } = newBatch();
      const { save, goOn } = await savedUpTo(first.id, all);
      const removal = removing!.removeMessages([third], soon());
      expect(await isDone(removal)).toBe(false);
      await goOn('ROLLBACK');
      await Promise.all([save, removal]);
      expect(await stored()).toEqual(without(third));
    });

    it('removes what was acknowledged when the removal has its tombstones and has not deleted anything yet', async () => {
      const { all, second, without } = newBatch();
      await inMysql(url, `INSERT INTO mqtt_tombstone VALUES ('${second.id}', ${soon()})`);
      await saving!.saveMessages(all);
      expect(await stored()).toEqual(without(second));
      expect(await removing!.removeMessages([second], soon())).toBe(0);
    });

    // The guard is the transaction of saveMessages(): without it the reader sees the message for a moment.
    it('shows nobody a message that was acknowledged and is published again', async () => {
      const { all, second, third, without } = newBatch();
      await removing!.removeMessages([second], soon());
      const { save, goOn } = await savedUpTo(third.id, all);
      expect(await stored()).toEqual([]);
      await goOn('COMMIT');
      expect(await save).toEqual([]);
      expect(await stored()).toEqual(without(second, third));
    });

    // The guard is the ROLLBACK: without it the next BEGIN on this connection would commit what was inserted.
    it('keeps nothing of a save that failed before it could look for tombstones', async () => {
      const { all, third } = newBatch();
      await inMysql(url, 'RENAME TABLE mqtt_tombstone TO mqtt_tombstone_away');
      await expect(saving!.saveMessages(all.slice(0, -1))).rejects.toThrow(RetryableError);
      await inMysql(url, 'RENAME TABLE mqtt_tombstone_away TO mqtt_tombstone');
      await saving!.saveMessages([third]);
      expect(await stored()).toEqual([third.id]);
    });
  });
});
