import { Client, type types } from 'cassandra-driver';
import { CassandraStore } from '../../src/stores/cassandra';
import type { Message } from '../../src/mqtt/message';
import { Database, type Bound } from '../../src/stores/cassandra/database';
import { Heads } from '../../src/stores/cassandra/head';
import { withBackends } from '../support/backends';
import { cassandraClient, dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message, newId } from '../support/messages';
import { waitFor } from '../support/wait';

const KEYSPACE = 'offline_cost';
const NOW = Date.now();

/** What Cassandra says in its traces: live rows, and marks of removals that it read over. */
interface Read {
  readonly rows: number;
  readonly marks: number;
}

describe('cassandra cost', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let store: CassandraStore;
    let db: Database;
    let client: Client;
    beforeAll(async () => {
      const url = await emptyKeyspace(server, KEYSPACE);
      store = new CassandraStore(settingsOf(url));
      await store.migrate();
      db = new Database(settingsOf(url));
      client = cassandraClient(server, KEYSPACE);
      await client.connect();
    });
    afterAll(async () => {
      await Promise.all([store.close(), db.close(), client.shutdown()]);
      await dropKeyspace(server, KEYSPACE);
    });

    const save = async (topic: string, count: number, step = 256): Promise<string[]> => {
      const ids = Array.from({ length: count }, newId);
      for (let i = 0; i < count; i += step) await store.saveMessages(ids.slice(i, i + step).map((id) => message({ topic, id })));
      return ids;
    };
    const page = { after: '', limit: 100, now: NOW };

    const traceOf = (id: types.Uuid): Promise<{ events: { activity: string }[] }> =>
      new Promise((resolve, reject) =>
        client.metadata.getTrace(id, (error: Error | null, trace) => (error === null ? resolve(trace as never) : reject(error))),
      );

    /** Traces every statement of `work`. */
    const traced = async (work: () => Promise<unknown>): Promise<Read> => {
      const execute = Client.prototype.execute as unknown as (
        this: Client,
        cql: string,
        params: unknown[],
        options: object,
      ) => Promise<types.ResultSet>;
      const traces: types.Uuid[] = [];
      const spy = jest.spyOn(Client.prototype, 'execute').mockImplementation(async function (this: Client, ...args: unknown[]) {
        const result = await execute.call(this, args[0] as string, args[1] as unknown[], { ...(args[2] as object), traceQuery: true });
        traces.push(result.info.traceId as types.Uuid);
        return result;
      } as never);
      try {
        await work();
      } finally {
        spy.mockRestore();
      }
      let read: Read = { rows: 0, marks: 0 };
      for (const id of traces) {
        // The driver looks for a trace five times within 2 s; Cassandra writes it later on a busy machine.
        const { events } = await waitFor('the trace', () => traceOf(id).catch(() => null));
        for (const { activity } of events) {
          const found = /Read (\d+) live rows and (\d+) tombstone/.exec(activity);
          if (found !== null) read = { rows: read.rows + Number(found[1]), marks: read.marks + Number(found[2]) };
        }
      }
      return read;
    };

    it('a fetch reads what it returns, from the start and from the middle of 5,000', async () => {
      const ids = await save('big', 5_000);
      expect(await traced(() => store.listMessages({ ...page, topic: 'big' }))).toEqual({ rows: 100, marks: 0 });
      expect(await traced(() => store.listMessages({ ...page, topic: 'big', after: ids[2_500]! }))).toEqual({ rows: 100, marks: 0 });
      // The last page: a hundred were asked for, fifty are there.
      expect(await traced(() => store.listMessages({ ...page, topic: 'big', after: ids.at(-51)! }))).toEqual({ rows: 50, marks: 0 });
      expect(await traced(() => store.listTopics({ filter: 'big', after: '', limit: 10 }))).toEqual({ rows: 1, marks: 0 });
    });

    it('the size of a topic is counted up to 10,000 messages, and its age takes one row', async () => {
      await save('counted', 10_100);
      const read = await traced(() => store.topicCounts(['counted', 'nothing'], NOW));
      expect(read).toEqual({ rows: 10_000 + 1, marks: 0 });
      expect((await store.topicCounts(['counted'], NOW)).get('counted')?.messages).toBe(10_000);
    });

    it('a list of topics reads a few entries more than it returns, of an inbox only its own', async () => {
      const topics = Array.from({ length: 2_000 }, (_, i) => `dev/${String(i).padStart(5, '0')}`);
      for (let i = 0; i < topics.length; i += 250) await store.saveMessages(topics.slice(i, i + 250).map((topic) => message({ topic })));
      await store.saveMessages(Array.from({ length: 5 }, (_, i) => message({ topic: `$offline/client/t/${i}` })));
      const { rows } = await traced(() => store.listTopics({ filter: 'dev/#', after: topics[500]!, limit: 64 }));
      expect(rows).toBeLessThanOrEqual(4 * 64);
      expect(await traced(() => store.listTopics({ filter: '$offline/client/#', after: '', limit: 64 }))).toEqual({ rows: 10, marks: 0 });
    });

    describe('requests', () => {
      /** Requests of the driver, and how many of them were batches. */
      const requestsOf = async (work: () => Promise<unknown>): Promise<{ all: number; batches: Bound[][] }> => {
        const executed = jest.spyOn(Client.prototype, 'execute');
        const batched = jest.spyOn(Client.prototype, 'batch');
        try {
          await work();
          return {
            all: executed.mock.calls.length + batched.mock.calls.length,
            batches: batched.mock.calls.map(([all]) => all as Bound[]),
          };
        } finally {
          executed.mockRestore();
          batched.mockRestore();
        }
      };
      const batchFor = (topics: number, count: number, fields: Partial<Message> = {}) =>
        Array.from({ length: count }, (_, i) =>
          message({ topic: `requests/${topics}/${i % topics}`, expiresAt: NOW + 3_600_000, ...fields }),
        );

      it.each([16, 256])('of a save and a removal of %i messages are those of their topics', async (count) => {
        await store.saveMessages(batchFor(8, 8));
        const batch = batchFor(8, count);
        // One write for each topic, and one for the expiries.
        expect((await requestsOf(() => store.saveMessages(batch))).all).toBe(8 + 1);
        // One read and one write for each topic.
        expect((await requestsOf(() => store.removeMessages(batch, NOW + 60_000))).all).toBe(2 * 8);
        expect((await requestsOf(() => store.saveMessages(batch))).all).toBe(8 + 1);
        expect((await store.listMessages({ ...page, topic: batch[0]!.topic })).map(({ id }) => id)).not.toContain(batch[0]!.id);
      });

      it('of a save to many topics are one for each message', async () => {
        await store.saveMessages(batchFor(256, 256));
        expect((await requestsOf(() => store.saveMessages(batchFor(256, 256)))).all).toBe(256 + 1);
      });

      it('of late messages are three for each topic', async () => {
        await store.saveMessages(batchFor(8, 8));
        const old = batchFor(8, 256).map((each) => ({ ...each, id: each.id.replace(/^..../, '0005') }));
        expect((await requestsOf(() => store.saveMessages(old))).all).toBe(3 * 8 + 1);
        expect(await store.removeMessages(old, NOW + 60_000)).toBe(256);
      });

      it('have at most 256 KB, however large the payloads are together', async () => {
        const payload = Buffer.alloc(100_000, 'x');
        const large = Array.from({ length: 40 }, () => message({ topic: 'large', payload }));
        const huge = Array.from({ length: 40 }, () => message({ topic: 'large', payload: Buffer.alloc(1_048_576, 0xff) }));
        const all = large.flatMap((each, i) => [each, huge[i]!]);
        const { batches } = await requestsOf(() => store.saveMessages(all));
        const sizes = batches.map((batch) =>
          batch.map(({ params }) => Buffer.byteLength(JSON.stringify(params))).filter((bytes) => bytes > 1_000),
        );
        for (const each of sizes) expect(each.length === 1 || each.reduce((sum, bytes) => sum + bytes, 0) <= 262_144).toBe(true);
        expect(sizes.flat()).toHaveLength(80);
        for (const { id, payload: sent } of all) expect((await store.getMessage(id, 'large'))?.payload.equals(sent)).toBe(true);
        expect(await store.removeMessages(all, NOW + 60_000)).toBe(80);
      });

      it('of a purge that finds nothing are few, and of one that finds much are those of the topics', async () => {
        while ((await store.purgeExpired(NOW, 1_000)).more);
        const mixed = batchFor(8, 256).map((each, i) => ({ ...each, expiresAt: NOW + (i % 2 === 0 ? 60_000 : 7 * 86_400_000) }));
        await store.saveMessages(mixed);
        // The sweep of topics, the buckets, and the bucket of now.
        expect((await requestsOf(() => store.purgeExpired(NOW, 1_000))).all).toBeLessThanOrEqual(70);
        let purged = 0;
        const { all } = await requestsOf(async () => (purged = (await store.purgeExpired(NOW + 60_000, 1_000)).removed));
        expect(purged).toBe(128);
        expect(all).toBeLessThanOrEqual(70 + 2 * 8 + 5);
      });
    });

    describe('of what was removed', () => {
      const remove = async (topic: string, ids: readonly string[], step = 250) => {
        for (let i = 0; i < ids.length; i += step) {
          await db.wave(ids.slice(i, i + step), (id) => db.write('DELETE FROM mqtt_msg WHERE topic = ? AND msgid = ?', [topic, id]));
        }
      };

      // The guard is Heads: without it the third number is 2,000.
      it('one mark is left when it is summed up, and what comes late stays', async () => {
        const topic = 'head';
        // A late message: its id is of long ago.
        const early = newId().replace(/^..../, '0005');
        const ids = await save(topic, 2_100);
        const heads = new Heads(db, 50, 2_000);
        await remove(topic, ids.slice(0, 2_000));
        expect((await traced(() => store.listMessages({ ...page, topic }))).marks).toBe(2_000);
        await new Promise((resolve) => setTimeout(resolve, 100));
        await store.saveMessages([message({ topic, id: early })]);
        await heads.note(ids.slice(0, 2_000).map(() => topic));
        // A message before it: nothing is summed up beyond it, and it is still there.
        expect((await store.listMessages({ ...page, topic })).map(({ id }) => id)).toEqual([early, ...ids.slice(2_000, 2_099)]);
        await store.removeMessages([{ topic, id: early }], 0);
        await new Promise((resolve) => setTimeout(resolve, 100));
        await heads.note(ids.slice(0, 2_000).map(() => topic));
        expect((await traced(() => store.listMessages({ ...page, topic }))).marks).toBeLessThanOrEqual(4);
        expect(await store.listMessages({ ...page, topic, limit: 1_000 })).toHaveLength(100);
        // Written after: a range of the past doesn't hide it.
        await store.saveMessages([message({ topic, id: early })]);
        expect((await store.listMessages({ ...page, topic, limit: 1 }))[0]?.id).toBe(early);
      });

      it('in an empty topic, too', async () => {
        const topic = 'emptied';
        const ids = await save(topic, 1_000);
        await remove(topic, ids);
        await new Promise((resolve) => setTimeout(resolve, 100));
        await new Heads(db, 50, 1_000).note(ids.map(() => topic));
        expect((await traced(() => store.listTopics({ filter: topic, after: '', limit: 1 }))).marks).toBeLessThanOrEqual(2);
        const again = message({ topic });
        await store.saveMessages([again]);
        expect(await store.listMessages({ ...page, topic })).toEqual([again]);
      });

      it('trimming leaves a mark for many, and 10,000 removed one by one can be read over', async () => {
        const trimmed = await save('trimmed', 3_000);
        expect(await store.trimTopic('trimmed', 100)).toBe(2_900);
        expect((await traced(() => store.listMessages({ ...page, topic: 'trimmed' }))).marks).toBeLessThanOrEqual(10);
        const [first] = await store.listMessages({ ...page, topic: 'trimmed', limit: 1 });
        expect(first?.id).toBe(trimmed[2_900]);

        const ids = await save('removed', 10_100);
        for (let i = 0; i < 10_000; i += 250)
          await store.removeMessages(
            ids.slice(i, i + 250).map((id) => ({ topic: 'removed', id })),
            NOW + 600_000,
          );
        expect((await store.listMessages({ ...page, topic: 'removed' })).map(({ id }) => id)).toEqual(ids.slice(10_000));
      }, 120_000);
    });
  });
});
