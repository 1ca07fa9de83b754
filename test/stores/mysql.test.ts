import { Connection, type RowDataPacket } from 'mysql2';
import { RetryableError } from '../../src/base/errors';
import { parseStatement } from '../../src/config/statements';
import { MysqlStore } from '../../src/stores/mysql';
import { operated } from '../../src/stores/shared/operator';
import { caFile, withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { hashed, message, newId } from '../support/messages';
import { emptyMysql, inMysql, mysqlUrl } from '../support/mysql';
import { conformance } from './conformance';
import { SILENCE_MS, SilentProxy } from './silent-proxy';

describe.each(['mysql', 'mariadb'] as const)('%s', (name) => {
  withBackends([name, `${name}-tls`], ({ [name]: server, [`${name}-tls` as const]: tlsServer }) => {
    let url: ReturnType<typeof emptyMysql> | null = null;
    const open = async () => new MysqlStore(await (url ??= emptyMysql(server, 'offline_conformance')));
    const opened: MysqlStore[] = [];
    const openMigrated = async (): Promise<MysqlStore> => {
      const store = await open();
      opened.push(store);
      await store.migrate();
      return store;
    };
    afterAll(() => Promise.all(opened.map((store) => store.close())));

    conformance(`on ${name}`, { open });

    // Promise 13. The guard is saveOrBisect: without it the whole batch is refused.
    it("rejects only messages that an operator's trigger rejects", async () => {
      const store = await openMigrated();
      await inMysql(
        (await url)!.href(),
        `CREATE TRIGGER no_poison BEFORE INSERT ON mqtt_msg FOR EACH ROW IF NEW.payload = 'poison' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no poison here'; END IF`,
      );
      const batch = Array.from({ length: 20 }, (_, i) =>
        message({ topic: 'poisoned', payload: Buffer.from(i % 9 === 4 ? 'poison' : 'fine') }),
      );
      const refused = batch.filter((_, i) => i % 9 === 4);
      expect(await store.saveMessages(batch)).toEqual(
        refused.map(({ id }) => ({ id, reason: expect.stringContaining('no poison here') as string })),
      );
      const stored = await store.listMessages({ topic: 'poisoned', after: '', limit: 100, now: Date.now() });
      expect(stored.map(({ id }) => id)).toEqual(batch.filter((each) => !refused.includes(each)).map(({ id }) => id));
      await inMysql((await url)!.href(), 'DROP TRIGGER no_poison');
    });

    it('refuses what is larger than a packet of the server alone, and stores batches of many packets', async () => {
      const store = await openMigrated();
      const packet = Math.min(16 * 1024 * 1024, Number((await inMysql<{ n: number }>(server, 'SELECT @@max_allowed_packet AS n'))[0]?.n));
      const batch = [1, packet, 1_048_576, 1_048_576, 1].map((size) => message({ topic: 'large', payload: Buffer.alloc(size, 0xff) }));
      expect(await store.saveMessages(batch)).toEqual([
        { id: batch[1]!.id, reason: expect.stringContaining('max_allowed_packet') as string },
      ]);
      const listed = await store.listMessages({ topic: 'large', after: '', limit: 9, now: 0 });
      expect(listed.map(hashed)).toEqual(batch.filter((_, i) => i !== 1).map(hashed));
    });

    it('saves and removes 256 messages of as many topics in one round trip each, like 16', async () => {
      const store = await openMigrated();
      const roundTrips = async (work: Promise<unknown>) => {
        const spy = jest.spyOn(Connection.prototype, 'query');
        await work;
        const calls = spy.mock.calls.length;
        spy.mockRestore();
        return calls;
      };
      await store.saveMessages([message({ topic: 'first' })]);
      for (const count of [256, 16]) {
        const batch = Array.from({ length: count }, () => message({ topic: `batch/${newId()}` }));
        expect(await roundTrips(store.saveMessages(batch))).toBe(1);
        expect(await roundTrips(store.removeMessages(batch, Date.now() + 60_000))).toBe(1);
      }
    });

    it('reads little more than it returns, not the backlog', async () => {
      const store = await openMigrated();
      await inMysql(
        (await url)!.href(),
        `SET SESSION ${name === 'mysql' ? 'cte_max_recursion_depth' : 'max_recursive_iterations'} = 100000`,
        `INSERT INTO mqtt_msg (msgid, topic, sender, qos, payload, arrived, published_at, expires_at)
         WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 50000)
         SELECT CONCAT('plan', LPAD(n, 8, '0')), IF(n > 45000, 'plan/big', CONCAT('plan/', n % 500)), 'p', 1, 'x', NOW(), n, 9e15 FROM numbers`,
        'ANALYZE TABLE mqtt_msg',
      );
      const read = async (work: () => Promise<unknown>) => {
        const before = await rowsRead(store);
        await work();
        return (await rowsRead(store)) - before;
      };
      const page = { after: '', limit: 100 };
      expect(await read(() => store.listMessages({ ...page, topic: 'plan/big', now: 0 }))).toBeLessThan(400);
      expect(await read(() => store.listMessages({ ...page, topic: 'plan/7', after: 'plan00020000', now: 0 }))).toBeLessThan(400);
      const selecting = operated(store, {
        SELECT_MESSAGE: parseStatement('SELECT_MESSAGE', 'select * from mqtt_msg where topic = ${topic}'),
      });
      // The tables have no index on `topic`.
      expect(await read(() => selecting.listMessages({ ...page, topic: 'plan/7', now: 0 }))).toBeLessThan(400);
      expect(await read(() => selecting.listRefs({ ...page, topic: 'plan/7', now: 0 }))).toBeLessThan(400);
      // At most 1,000 rows a topic, of the 5,000 that it has.
      expect(await read(() => store.listTopics({ ...page, filter: 'plan/+', after: 'plan/99' }))).toBeLessThan(4_000);
      expect(await read(() => store.purgeExpired(1_000, 1_000))).toBeLessThan(400);
      await inMysql((await url)!.href(), `DELETE FROM mqtt_msg WHERE topic LIKE 'plan/%'`);
    });

    it('looks for the tombstones of a batch in the times of its ids, and reads few others', async () => {
      const store = await openMigrated();
      const [early, late] = [0, 3_600_000_000].map((later) =>
        Array.from({ length: 128 }, (_, i) => message({ topic: 'two times', id: idAt(NOON_US + later + (i * 40_000) / 128, i) })),
      );
      const both = [...late!, ...early!];
      const buried = [early![0]!, early![1]!, early!.at(-1)!, late![0]!, late![64]!, late!.at(-1)!];
      const now = Date.now();
      await store.removeMessages(buried, now + 60_000);
      await store.removeMessages([early![2]!], now - 1);
      // Tombstones of other messages, in the hour between and before and after. Too many to be read with each save.
      const others = Array.from({ length: 2_000 }, (_, i) => `('${idAt(NOON_US + (i - 500) * 3_600_000 + 60_000, i)}', ${now + 60_000})`);
      await inMysql((await url)!.href(), `INSERT INTO mqtt_tombstone VALUES ${others.join()}`, 'ANALYZE TABLE mqtt_tombstone');
      const before = await rowsRead(store);
      expect(await store.saveMessages(both)).toEqual([]);
      expect((await rowsRead(store)) - before).toBeLessThan(100);
      const stored = await store.listMessages({ topic: 'two times', after: '', limit: 1_000, now });
      expect(stored.map(({ id }) => id)).toEqual([...early!, ...late!].filter((each) => !buried.includes(each)).map(({ id }) => id));
      await inMysql((await url)!.href(), 'DELETE FROM mqtt_tombstone', `DELETE FROM mqtt_msg WHERE topic = 'two times'`);
    });

    it('works with TLS, and reports an unknown certificate', async () => {
      await openMigrated();
      const secure = (query: string) => mysqlUrl(`${tlsServer.replace(/\/\w+\?.*/, '')}/offline_conformance?${query}`);
      const store = new MysqlStore(secure(`ca=${encodeURIComponent(caFile())}`));
      opened.push(store);
      await store.migrate();
      const saved = message({ topic: 'through tls' });
      expect(await store.saveMessages([saved])).toEqual([]);
      expect(await store.getMessage(saved.id)).toEqual(saved);
      const stranger = new MysqlStore(secure('tls=true'));
      expect(await answeredHealth(stranger)).toEqual({
        ok: false,
        detail: expect.stringMatching(/^STORE_URL: MySQL's certificate is not trusted .*check ca=/) as string,
      });
      await stranger.close();
      const plain = new MysqlStore(secure('tls=false'));
      expect((await answeredHealth(plain)).ok).toBe(false);
      await plain.close();
    });

    it.each([
      ['a wrong password', (to: URL) => (to.password = 'wrong'), /^STORE_URL: MySQL rejected the login .*check user and password$/],
      ['a host that is not there', (to: URL) => (to.port = '1'), /^STORE_URL: cannot connect to MySQL .*check host and port$/],
      ['a database that is not there', (to: URL) => (to.pathname = '/absent'), /^STORE_URL: .*create the database first$/],
    ])('names the setting for %s', async (_, change, expected) => {
      const wrong = new URL(server);
      change(wrong);
      const store = new MysqlStore(mysqlUrl(wrong.href));
      const { ok, detail } = await answeredHealth(store);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toContain('wrong');
      await store.close();
    });

    it('reports missing rights and a missing schema', async () => {
      const empty = await emptyMysql(server, 'offline_rights');
      await inMysql(
        server,
        `DROP USER IF EXISTS offline_reader`,
        `CREATE USER offline_reader IDENTIFIED BY 'reader'`,
        `GRANT SELECT ON offline_rights.* TO offline_reader`,
      );
      const store = new MysqlStore(empty);
      expect((await answeredHealth(store)).detail).toMatch(/^STORE_URL: .*version 0.*run "emqx-offline-store migrate"$/);
      await expect(store.getMessage('x')).rejects.toThrow(/run "emqx-offline-store migrate"/);
      await store.close();
      const reader = new URL(empty.href());
      Object.assign(reader, { username: 'offline_reader', password: 'reader' });
      const restricted = new MysqlStore(mysqlUrl(reader.href));
      opened.push(restricted);
      await expect(restricted.migrate()).rejects.toThrow(/the user needs more rights/);
      await inMysql(server, 'DROP USER offline_reader', 'DROP DATABASE offline_rights');
    });

    // Promise 14. The guard is PooledConnections.drop: without it the pool's connections time out one after the other, for ever.
    it('works again when a server that vanished without a word is back', async () => {
      await openMigrated();
      const proxy = await SilentProxy.to(new URL((await url)!.href()));
      const store = new MysqlStore(mysqlUrl(proxy.url), { queryTimeoutMs: SILENCE_MS });
      try {
        await Promise.all(Array.from({ length: 5 }, () => store.getMessage('absent')));
        proxy.silent = true;
        const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => store.getMessage('absent')));
        for (const outcome of outcomes)
          expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(RetryableError) as RetryableError });
        // What was open stays silent, new connections work.
        proxy.silent = false;
        for (let i = 0; i < 5; i++) expect(await store.getMessage('absent')).toBeNull();
      } finally {
        await store.close();
        await proxy.close();
      }
    });
  });
});

const NOON_US = Date.UTC(2026, 0, 1, 12) * 1_000;

/** EMQX's id of a message that was published then (microseconds). */
const idAt = (us: number, i: number): string => `${hex(Math.floor(us))}${hex(i)}`;
const hex = (n: number): string => n.toString(16).toUpperCase().padStart(16, '0');

/** How many rows the store's own connections have read: other test files use the same server at the same time. */
async function rowsRead(store: MysqlStore): Promise<number> {
  const { open } = store['db']['connections'] as unknown as { readonly open: ReadonlyMap<string, Connection> };
  let read = 0;
  for (const connection of open.values()) {
    const [rows] = await connection
      .promise()
      .query<StatusRow[]>(
        `SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_key', 'Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd_next')`,
      );
    for (const { Value } of rows) read += Number(Value);
  }
  return read;
}

interface StatusRow extends RowDataPacket {
  readonly Value: string;
}
