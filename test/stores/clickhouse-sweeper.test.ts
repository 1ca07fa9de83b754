import { Client } from '../../src/stores/clickhouse/client';
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
      const sweeper = new Sweeper(db, { least, now: () => (Date.now() + laterMs) * 1_000, rarely: 0 });
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
      // The others were saved twice, and count once.
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([200, 0]);
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
      await new Sweeper(db, { least: 1, now: () => (Date.now() + HOUR_MS) * 1_000, rarely: 0 }).run();
      expect(command).not.toHaveBeenCalled();
      count.mockRestore();
      command.mockRestore();
    });

    // The guards are late(), without which the rows stay for ever, and the condition of tombstones() about rows that are stored.
    it('keeps tombstones until the rows that came after them are gone', async () => {
      const kept = await save(1, 'a');
      const late = await save(300, 'a');
      await store.removeMessages(late, Date.now() + 20 * 60_000);
      await sweep(5 * 60_000);
      expect(await sql.count('mqtt_msg')).toBe(1);
      // Their publishes arrive a second time, when the removals are swept already and the tombstones still live.
      await store.saveMessages(late);
      expect([await sql.count('mqtt_msg'), await list('a')]).toEqual([301, idsOf(kept)]);
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

    // The guard is the second query of Expiry.find(), because the first one passes over all messages that were removed at any time.
    it('purges a message that was stored again after its removal and has expired', async () => {
      const [again, kept] = [
        message({ topic: 'a', expiresAt: Date.now() + 1_000 }),
        message({ topic: 'a', expiresAt: Date.now() + HOUR_MS }),
      ];
      await store.saveMessages([again, kept]);
      await store.removeMessages([again], Date.now() - 1);
      await store.saveMessages([again]);
      let removed = 0;
      for (let more = true; more;) {
        const purged = await store.purgeExpired(Date.now() + 2_000, 10);
        [removed, more] = [removed + purged.removed, purged.more];
      }
      expect([removed, await store.countMessages()]).toEqual([1, 1]);
      await sweep(2 * HOUR_MS);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([1, 0]);
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
