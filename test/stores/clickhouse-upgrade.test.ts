import { Client } from '../../src/stores/clickhouse/client';
import { statementsOf } from '../../src/stores/clickhouse/migrations';
import { Sweeper } from '../../src/stores/clickhouse/sweeper';
import { MigrationFiles } from '../../src/stores/shared/migration-files';
import type { Store } from '../../src/stores/store';
import type { Message } from '../../src/mqtt/message';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, clickHouseUrl, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';

const HOUR_MS = 3_600_000;
const OLD_VERSION = 4;

/** A message as the release with schema 4 wrote it into mqtt_msg. */
const oldRow = (
  { id, clientid, topic, qos, retain, payload, publishReceivedAt, username, properties, expiresAt }: Message,
  at: number,
) => ({
  ...{ msgid: id, sender: clientid, topic, qos, retain: retain ? 1 : 0, arrived: publishReceivedAt, published_at: publishReceivedAt },
  ...(payload.includes(0xff)
    ? { payload: '', payload_base64: payload.toString('base64') }
    : { payload: payload.toString(), payload_base64: null }),
  ...{ username, properties: JSON.stringify(properties), expires_at: expiresAt, stored_at: at },
});

/** Tables of schema 4, with what that release wrote, become those of schema 5 and lose nothing. */
describe.each(CLICKHOUSES)('%s upgrade from schema 4', (backend) => {
  withBackends([backend], (urls) => {
    let databases = 0;
    let [url, db, sql, store] = ['', ...([] as unknown as [Client, Sql, Store])];
    beforeEach(async () => {
      url = await emptyClickHouse(urls[backend], `offline_upgrade_${databases++}`);
      [db, sql, store] = [new Client(clickHouseUrl(url)), new Sql(url), openClickHouse(url)];
      const files = new MigrationFiles('clickhouse').all.slice(0, OLD_VERSION);
      for (const { when, sql: statement } of files.flatMap(({ text }) => statementsOf(text)))
        if (when === null || (await db.count(when)) > 0) await db.command(statement);
      await db.command(
        'CREATE TABLE mqtt_offline_migration (version UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version',
      );
      await db.insert('mqtt_offline_migration', [{ version: OLD_VERSION, name: 'old' }]);
    });
    afterEach(() => Promise.all([db.close(), sql.close(), store.close()]));

    const microseconds = () => (Date.now() - 1_000) * 1_000;
    const insertOld = (messages: readonly Message[]) =>
      db.insert(
        'mqtt_msg',
        messages.map((each) => oldRow(each, microseconds())),
      );
    /** @param stored whether the message was stored: then its removal names the row. */
    const removeOld = (messages: readonly Message[], stored: boolean) =>
      db.insert(
        'mqtt_removed',
        messages.map(({ id, topic }) => ({
          ...{ topic, msgid: id, removed_at: microseconds() + 500_000, until: Date.now() + 900_000 },
          ...{ stored_at: stored ? microseconds() : 0, owner: stored ? 'abc' : '' },
        })),
      );
    const list = (topic: string, now = Date.now()) => store.listMessages({ topic, after: '', limit: 1_000, now });
    const samples = (topic: string) => [
      message({ topic, username: 'it\'s "me"', properties: { contentType: 'é', userProperties: [{ key: 'a', value: '\n' }] } }),
      message({ topic, payload: Buffer.from([0xff, 0]), qos: 2, retain: true, expiresAt: Date.now() + HOUR_MS }),
      message({ topic, username: '', payload: Buffer.alloc(0), publishReceivedAt: 1_700_000_000_001 }),
    ];
    const sweep = async (laterMs: number) => {
      const sweeper = new Sweeper(db, { least: 1, now: () => (Date.now() + laterMs) * 1_000, rarely: 0 });
      for (let i = 0; i < 6; i++) {
        await sweeper.run();
        await waitFor('the mutations', async () => (await db.count('SELECT count() AS n FROM system.mutations WHERE is_done = 0')) === 0);
      }
    };

    it('keeps messages, tombstones and expiries, and what is removed later leaves nothing behind', async () => {
      const [stored, removed, early] = [[...samples('t/1'), ...samples('t/2')], samples('t/1'), samples('t/3')];
      const expired = message({ topic: 't/4', expiresAt: Date.now() - 1_000 });
      await insertOld([...stored, ...removed, expired]);
      await removeOld(removed, true);
      await removeOld(early, false);

      const other = openClickHouse(url);
      await Promise.all([store.migrate(), other.migrate()]);
      await other.close();
      expect(await store.health()).toMatchObject({ ok: true });

      expect([...(await list('t/1')), ...(await list('t/2'))]).toEqual(stored);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/1', 't/2', 't/4']);
      await store.saveMessages([...removed, ...early, ...stored]);
      expect([...(await list('t/1')), ...(await list('t/2')), ...(await list('t/3'))]).toEqual(stored);
      expect([await list('t/4'), await list('t/4', 0)]).toEqual([[], [expired]]);
      expect(await store.purgeExpired(Date.now(), 10)).toEqual({ removed: 1, more: true });
      expect(await store.purgeExpired(Date.now(), 10)).toEqual({ removed: 0, more: false });
      expect(await list('t/4', 0)).toEqual([]);
      expect(await store.removeMessages(stored, Date.now() + 1)).toBe(stored.length);
      await sweep(3 * HOUR_MS);
      expect([await sql.count('mqtt_msg'), await sql.count('mqtt_removed')]).toEqual([0, 0]);
    });

    it('has the columns of a new database afterwards', async () => {
      await insertOld(samples('t'));
      await store.migrate();
      const fresh = await emptyClickHouse(urls[backend], 'offline_upgrade_fresh');
      const [freshStore, freshSql] = [openClickHouse(fresh), new Sql(fresh)];
      await freshStore.migrate();
      const columns = (of: Sql) =>
        of.rows(`SELECT table, name, type, default_expression FROM system.columns
          WHERE database = currentDatabase() AND table LIKE 'mqtt%' AND table != 'mqtt_offline_migration' ORDER BY table, name`);
      expect(await columns(sql)).toEqual(await columns(freshSql));
      expect((await columns(sql)).length).toBeGreaterThan(40);
      await Promise.all([freshStore.close(), freshSql.close()]);
    });

    const STEPS = statementsOf(new MigrationFiles('clickhouse').all[OLD_VERSION]?.text ?? '');
    it.each(STEPS.map((step, i): [string, number] => [step.sql.split('\n')[0]?.slice(0, 60) ?? '', i]))(
      'keeps what an earlier release still writes, and continues after an interruption before %s',
      async (_, i) => {
        const [before, meanwhile] = [samples('t'), samples('t')];
        await insertOld(before);
        const run = Client.prototype.command;
        const spy = jest.spyOn(Client.prototype, 'command').mockImplementation(function (this: Client, query: string) {
          return query === STEPS[i]?.sql ? Promise.reject(new Error('interrupted')) : run.call(this, query);
        });
        await expect(store.migrate()).rejects.toThrow('interrupted');
        spy.mockRestore();
        // Before the columns have constants for defaults, an insert that began before the migration may still end.
        const ended = i <= STEPS.findIndex((step) => step.sql.includes('MODIFY COLUMN extra')) ? meanwhile : [];
        await insertOld(ended);
        await store.migrate();
        expect(await list('t')).toEqual([...before, ...ended]);
      },
    );
  });
});
