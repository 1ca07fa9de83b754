import { Client } from '../../src/stores/clickhouse/client';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { message } from '../support/messages';

const MINUTE_MS = 60_000;
const TOMBSTONE_MS = 15 * MINUTE_MS;

/**
 * Two processes on the same messages, interleaved at each step (promises 2 and 3). A save has one step, its insert; a removal has one that
 * changes something, its insert. What a row's time is compared with is decided by readers: the guard is COVERED in living() and visible().
 */
describe.each(CLICKHOUSES)('%s with two processes', (backend) => {
  withBackends([backend], (urls) => {
    let [one, other]: Store[] = [];
    let sql: Sql;
    beforeAll(async () => {
      const url = await emptyClickHouse(urls[backend], 'offline_races');
      [one, other, sql] = [openClickHouse(url), openClickHouse(url), new Sql(url)];
      await one.migrate();
    });
    afterAll(() => Promise.all([one?.close(), other?.close(), sql.close()]));
    const stores = () => [one, other] as [Store, Store];

    let topics = 0;
    const topic = () => `race/${topics++}`;
    const batch = (of: string) => Array.from({ length: 20 }, () => message({ topic: of }));
    const until = () => Date.now() + TOMBSTONE_MS;
    const list = (of: string, now = Date.now()) => stores()[0].listMessages({ topic: of, after: '', limit: 100, now });
    /** What anybody can see of the topic. */
    const seen = async (of: string) => [
      (await list(of)).length,
      (await stores()[0].listRefs({ topic: of, after: '', limit: 100, now: Date.now() })).length,
      (await stores()[0].listTopics({ filter: of, after: '', limit: 10 })).length,
      (await stores()[0].listTopics({ filter: `${of}/#`, after: '', limit: 10 })).length,
      (await stores()[0].topicCounts([of], Date.now())).get(of)?.messages,
    ];
    const NOTHING = [0, 0, 0, 0, 0];

    /** Begins the work, which stops before it inserts into the table. @returns a function that lets it end. */
    const stopBeforeInsert = async (table: string, work: () => Promise<unknown>): Promise<() => Promise<unknown>> => {
      const insert = Client.prototype.insert;
      let go = () => undefined as void;
      const gate = new Promise<void>((resolve) => (go = resolve));
      const arrived = new Promise<void>((resolve) => {
        jest.spyOn(Client.prototype, 'insert').mockImplementationOnce(async function (this: Client, into, values) {
          expect(into).toBe(table);
          resolve();
          await gate;
          return insert.call(this, into, values);
        });
      });
      const working = work();
      await arrived;
      jest.restoreAllMocks();
      return () => (go(), working);
    };

    it('hides what was saved before the removal, and its second publish', async () => {
      const of = topic();
      const messages = batch(of);
      const [a, b] = stores();
      await a.saveMessages(messages);
      expect(await seen(of)).toEqual([20, 20, 1, 1, 20]);
      await b.removeMessages(messages, until());
      expect(await seen(of)).toEqual(NOTHING);
      await a.saveMessages(messages);
      expect(await seen(of)).toEqual(NOTHING);
      expect(await a.getMessage(messages[0]!.id)).toBeNull();
    });

    it('hides a message whose insert began before the removal and ends after it', async () => {
      const of = topic();
      const messages = batch(of);
      const [a, b] = stores();
      const end = await stopBeforeInsert('mqtt_msg', () => a.saveMessages(messages));
      await b.removeMessages(messages, until());
      await end();
      expect(await sql.rows(`SELECT count() AS n FROM mqtt_msg WHERE topic = '${of}'`)).toEqual([{ n: 20 }]);
      expect(await seen(of)).toEqual(NOTHING);
    });

    it('hides a message that is saved while its removal is on its way', async () => {
      const of = topic();
      const messages = batch(of);
      const [a, b] = stores();
      const end = await stopBeforeInsert('mqtt_removed', () => b.removeMessages(messages, until()));
      await a.saveMessages(messages);
      await end();
      expect(await seen(of)).toEqual(NOTHING);
      await a.saveMessages(messages);
      expect(await seen(of)).toEqual(NOTHING);
    });

    it('shows no reader a removed message, at any moment of its second publish', async () => {
      const of = topic();
      const messages = batch(of);
      const [a, b] = stores();
      await a.removeMessages(messages, until());
      let [publishing, reads] = [true, 0];
      const publishes = (async () => {
        // A read may take as long as many publishes.
        for (let i = 0; i < 30 || (i < 1_000 && reads < 4); i++) await b.saveMessages(messages);
      })().finally(() => (publishing = false));
      for (; publishing; reads++) expect(await list(of)).toEqual([]);
      await publishes;
      expect(reads).toBeGreaterThan(3);
    });

    // The guard is the second look in read(). ClickHouse may read the list of an IN before the rows of the same statement.
    it('shows no reader a removed message, at any moment of its first publish', async () => {
      const [a, b] = stores();
      for (let round = 0; round < 20; round++) {
        const of = topic();
        const messages = batch(of);
        await a.removeMessages(messages, until());
        let publishing = true;
        const publishes = b.saveMessages(messages).finally(() => (publishing = false));
        while (publishing) expect(await list(of)).toEqual([]);
        await publishes;
      }
    });

    it('shows no message whose removal comes between the two statements of a reader, and the next ones in its place', async () => {
      const of = topic();
      const [a, b] = stores();
      const messages = batch(of);
      await a.saveMessages(messages);
      const rows = Client.prototype.rows;
      const spy = jest.spyOn(Client.prototype, 'rows').mockImplementation(async function (this: Client, query, settings) {
        const found = await rows.call(this, query, settings);
        if (!query.includes('AS lastStoredAt')) return found;
        spy.mockRestore();
        await b.removeMessages(messages.slice(0, 5), until());
        return found;
      });
      expect(await a.listMessages({ topic: of, after: '', limit: 10, now: Date.now() })).toEqual(messages.slice(5, 15));
    });

    it('keeps the first of two saves at the same time, and counts it once', async () => {
      const of = topic();
      const [first] = batch(of);
      const [a, b] = stores();
      const second = { ...first!, payload: Buffer.from('second'), expiresAt: Date.now() - 1 };
      const end = await stopBeforeInsert('mqtt_msg', () => a.saveMessages([first!]));
      await b.saveMessages([second]);
      await end();
      expect(await sql.rows(`SELECT count() AS n FROM mqtt_msg WHERE topic = '${of}'`)).toEqual([{ n: 2 }]);
      expect(await seen(of)).toEqual([1, 1, 1, 1, 1]);
      expect(await a.getMessage(first!.id)).toEqual(first);
      // The second has expired, and does not count.
      expect(await a.purgeExpired(Date.now(), 100)).toEqual({ removed: 0, more: false });
      expect(await list(of)).toEqual([first]);
      expect(await b.trimTopic(of, 0)).toBe(1);
      expect(await seen(of)).toEqual(NOTHING);
    });

    it('removes both rows of a message, even those of a process whose clock is ahead', async () => {
      const of = topic();
      const [trimmed, expired, removed] = [
        message({ topic: of }),
        message({ topic: of, expiresAt: Date.now() - 1 }),
        message({ topic: of }),
      ];
      const [a, b] = stores();
      await a.saveMessages([trimmed, expired, removed]);
      await sql.run(`INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, published_ms, expires_ms, stored_at)
        SELECT msgid, sender, topic, qos, retain, payload, arrived, published_ms, expires_ms, stored_at + ${10 * MINUTE_MS * 1_000}
        FROM mqtt_msg WHERE topic = '${of}'`);
      expect((await list(of)).map(({ id }) => id)).toEqual([trimmed.id, removed.id]);
      expect(await a.removeMessages([removed], until())).toBe(1);
      expect((await b.purgeExpired(Date.now(), 10)).removed).toBe(1);
      expect(await b.trimTopic(of, 0)).toBe(1);
      expect([await list(of), await list(of, 0)]).toEqual([[], []]);
    });

    it('stores a message again when its tombstone has ended', async () => {
      const of = topic();
      const [again] = batch(of);
      const [a, b] = stores();
      await a.saveMessages([{ ...again!, payload: Buffer.from('before') }]);
      await b.removeMessages([again!], Date.now());
      await new Promise((resolve) => setTimeout(resolve, 5));
      await a.saveMessages([again!]);
      expect(await list(of)).toEqual([again]);
    });

    // The guard is `more`, which is true until a step finds nothing: the server may end a query before it has found all messages.
    it('purges expired messages of more topics than are read at once, in limited steps', async () => {
      const of = `${topic()}/${'long'.repeat(15_000)}`;
      const expired = Array.from({ length: 200 }, (_, i) => message({ topic: `${of}/${i}`, expiresAt: Date.now() - 1 }));
      await stores()[0].saveMessages(expired);
      const steps: number[] = [];
      for (let more = true; more;) {
        const purged = await stores()[0].purgeExpired(Date.now(), 30);
        steps.push(purged.removed);
        ({ more } = purged);
      }
      expect(steps.reduce((sum, each) => sum + each, 0)).toBe(200);
      expect(Math.max(...steps)).toBe(30);
      expect(await list(expired[7]!.topic, 0)).toEqual([]);
    });

    it('saves large messages in several inserts, each once', async () => {
      const of = topic();
      const large = Array.from({ length: 24 }, (_, i) => message({ topic: of, payload: Buffer.alloc(1_048_576, 65 + i) }));
      const insert = jest.spyOn(Client.prototype, 'insert');
      await stores()[0].saveMessages(large);
      expect(insert.mock.calls.map(([, rows]) => rows.length)).toEqual([8, 8, 8]);
      jest.restoreAllMocks();
      expect((await list(of)).map(({ payload }) => [payload.length, payload[0]])).toEqual(large.map((_, i) => [1_048_576, 65 + i]));
    });
  });
});
