import { Client } from '../../src/stores/clickhouse/client';
import { Removals } from '../../src/stores/clickhouse/removals';
import { Sweeper } from '../../src/stores/clickhouse/sweeper';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, clickHouseUrl, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';

const HOUR_MS = 3_600_000;

/** What is removed goes from the disk later, in mutations; nothing that is stored does. */
describe.each(CLICKHOUSES)('%s purging', (backend) => {
  withBackends([backend], (urls) => {
    let store: Store;
    let db: Client;
    let sql: Sql;
    beforeEach(async () => {
      const url = await emptyClickHouse(urls[backend], 'offline_sweeper');
      [store, db, sql] = [openClickHouse(url), new Client(clickHouseUrl(url)), new Sql(url)];
      await store.migrate();
    });
    afterEach(() => Promise.all([store.close(), db.close(), sql.close()]));

    const settled = () =>
      waitFor(
        'the mutations',
        async () => (await sql.rows(`SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND is_done = 0`)).length === 0,
      );
    /** As maintenance does minute after minute, so much later. */
    const sweep = async (laterMs: number, least = 1, minutes = 8) => {
      const sweeper = new Sweeper(db, new Removals(db), { least, now: () => (Date.now() + laterMs) * 1_000 });
      for (let i = 0; i < minutes; i++) {
        await sweeper.run();
        await settled();
      }
    };
    const save = async (n: number, topic: string) => {
      const batch = Array.from({ length: n }, () => message({ topic }));
      await store.saveMessages(batch);
      return batch;
    };
    const list = async (topic: string) =>
      (await store.listMessages({ topic, after: '', limit: 1_000, now: Date.now() })).map(({ id }) => id);
    const idsOf = (messages: readonly { id: string }[]) => messages.map(({ id }) => id);

    it('deletes removed messages, then their tombstones', async () => {
      const batch = await save(300, 'a');
      await store.removeMessages([...batch.slice(0, 200), message({ topic: 'a' })], Date.now() + HOUR_MS);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([300, 201]);
      await sweep(5 * 60_000);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([100, 201]);
      // The tombstones live: what is removed does not come back.
      await store.saveMessages(batch);
      expect(await list('a')).toEqual(idsOf(batch.slice(200)));
      await sweep(2 * HOUR_MS);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([100, 0]);
      expect(await list('a')).toEqual(idsOf(batch.slice(200)));
      expect(await store.countMessages()).toBe(100);
    });

    it('waits for enough removed rows, but not forever', async () => {
      const batch = await save(50, 'a');
      await store.removeMessages(batch.slice(0, 40), Date.now() + HOUR_MS);
      await sweep(5 * 60_000, 1_000);
      expect(await sql.count('mqtt_msg')).toBe(50);
      await sweep(61 * 60_000, 1_000);
      expect(await sql.count('mqtt_msg')).toBe(10);
    });

    it('keeps rows that were removed just now', async () => {
      const batch = await save(10, 'a');
      await store.removeMessages(batch, Date.now() + HOUR_MS);
      await sweep(0);
      expect(await sql.count('mqtt_msg')).toBe(10);
    });

    it('does nothing while a mutation runs', async () => {
      const batch = await save(10, 'a');
      await store.removeMessages(batch, Date.now() + HOUR_MS);
      const count = jest.spyOn(db, 'count').mockResolvedValueOnce(1);
      const command = jest.spyOn(db, 'command');
      await new Sweeper(db, new Removals(db), { least: 1, now: () => (Date.now() + HOUR_MS) * 1_000 }).run();
      expect(command).not.toHaveBeenCalled();
      count.mockRestore();
      command.mockRestore();
    });

    // The guards are Removals.nameOrphans, without which the rows stay for ever, and what tombstones() leaves: more than it names at once.
    it('keeps tombstones until the rows that came after them are gone', async () => {
      const kept = await save(1, 'a');
      const late = await save(1_500, 'a');
      await store.removeMessages(late, Date.now() + 1);
      // As saves that read before the removal and wrote after it.
      await sql.run(`INSERT INTO mqtt_msg (msgid, sender, topic, payload, arrived, stored_at) SELECT msgid, sender, topic, payload, arrived, stored_at - 1
        FROM mqtt_msg WHERE msgid > '${kept[0]!.id}'`);
      expect(await list('a')).toEqual(idsOf(kept));
      for (let i = 0; i < 3; i++) {
        await sweep(2 * HOUR_MS, 1, 1);
        expect(await list('a')).toEqual(idsOf(kept));
      }
      await sweep(4 * HOUR_MS);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([1, 0]);
      expect(await list('a')).toEqual(idsOf(kept));
    });

    it('keeps a message that was stored again after its tombstone', async () => {
      const [again] = await save(1, 'a');
      await store.removeMessages([again!], Date.now() - 1);
      await store.saveMessages([again!]);
      await sweep(2 * HOUR_MS);
      expect(await list('a')).toEqual([again!.id]);
      expect(await sql.count('mqtt_msg')).toBe(1);
    });

    it('deletes topics without messages', async () => {
      const [gone] = [await save(3, 'gone'), await save(3, 'kept')];
      await store.removeMessages(gone, Date.now() + 1);
      await sweep(2 * HOUR_MS);
      await sweep(2 * HOUR_MS);
      expect(await sql.rows('SELECT DISTINCT topic FROM mqtt_topic')).toEqual([{ topic: 'kept' }]);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['kept']);
    });

    it('deletes hidden rows before their deletion markers', async () => {
      const subscription = (clientid: string) => ({ clientid, topic: 't', qos: 1 as const });
      // A version, from which no time can be told.
      const position = (topic: string, id: string) => ({ consumer: 'c', topic, id, receipts: [], version: 7 });
      for (const topic of ['r/1', 'r/2', 'r/2', 'r/3']) await store.putRetained([message({ topic, retain: true })]);
      await store.putSubscriptions([subscription('a'), subscription('b'), subscription('c')]);
      await store.putPositions([position('a', 'A'), position('b', 'A')]);
      await store.deleteRetained([message({ topic: 'r/1' })]);
      await store.deleteSubscriptions([subscription('a'), subscription('b')]);
      await store.putSubscriptions([subscription('b')]);
      await store.putPositions([position('a', '')]);
      await sweep(2 * HOUR_MS);
      expect([await store.listSubscriptions('a'), await store.listSubscriptions('b')]).toEqual([[], [subscription('b')]]);
      expect(await store.listPositions('c', '', 10)).toEqual([position('b', 'A')]);
      expect((await store.listRetained({ filter: '#', after: '', limit: 10 })).map(({ topic }) => topic)).toEqual(['r/2', 'r/3']);
      expect(await sql.rows(`SELECT 1 FROM mqtt_sub WHERE clientid = 'a'`)).toEqual([]);
      expect(await sql.rows(`SELECT 1 FROM mqtt_acked WHERE topic = 'a'`)).toEqual([]);
      expect(await sql.count('mqtt_retain')).toBe(2);
    });
  });
});
