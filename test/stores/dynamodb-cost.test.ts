import { RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import type { DynamoStore } from '../../src/stores/dynamodb';
import { Client } from '../../src/stores/dynamodb/client';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { Front } from './dynamodb-front';
import { TestTables } from './dynamodb-tables';

const NOW = 1_800_000_000_000;
const id = (i: number) => i.toString(16).padStart(32, '0').toUpperCase();

/** What calls cost does not depend on what is stored; and what DynamoDB leaves over is not lost. */
describe('dynamodb cost', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const tables = new TestTables(server, `cost_${process.pid}_`);
    let front: Front;
    let store: DynamoStore;
    beforeAll(async () => {
      front = await Front.to(tables.endpoint);
      store = tables.open({ endpoint: front.url });
      await store.migrate();
    });
    afterAll(async () => {
      await store.close();
      await front.close();
      await tables.drop();
    });
    beforeEach(() => {
      front.answer = (_, input, forward) => forward(input);
      front.reset();
    });

    describe('with 6,000 messages stored', () => {
      const refs = Array.from({ length: 50 }, (_, i) => ({ topic: 'big', id: id(i) }));
      const topics = Array.from({ length: 50 }, (_, i) => `dev/${i}`);
      beforeAll(async () => {
        const saved = Array.from({ length: 6_000 }, (_, i) =>
          message({ id: id(i), topic: i < 3_000 ? 'big' : `dev/${i % 1_000}`, expiresAt: NOW + i }),
        );
        for (let i = 0; i < saved.length; i += 500) await store.saveMessages(saved.slice(i, i + 500));
        await store.putPositions(saved.slice(3_000, 4_000).map(({ topic }) => ({ consumer: 'consumer', topic, id: 'A', receipts: [] })));
        await store.putRetained(saved.slice(3_000, 4_000));
      });

      const page = { after: '', limit: 100 };
      it.each<[string, number, number, (of: DynamoStore) => Promise<unknown>]>([
        ['100 messages of a topic of 3,000', 200, 2, (of) => of.listMessages({ ...page, topic: 'big', now: NOW - 1 })],
        ['100 messages in its middle', 200, 2, (of) => of.listMessages({ ...page, after: id(1_500), topic: 'big', now: NOW - 1 })],
        ['messages of a topic without any', 0, 1, (of) => of.listMessages({ ...page, topic: 'none', now: NOW - 1 })],
        ['100 of 1,001 topics', 350, 32, (of) => of.listTopics({ ...page, filter: '#' })],
        ['one topic', 1, 1, (of) => of.listTopics({ ...page, filter: 'big' })],
        ['topics below one', 1, 17, (of) => of.listTopics({ ...page, filter: 'dev/7/#' })],
        ['a retained message', 2, 2, (of) => of.listRetained({ ...page, filter: 'dev/7' })],
        ['100 of 1,000 retained messages', 450, 33, (of) => of.listRetained({ ...page, filter: 'dev/+' })],
        ['50 of 1,000 positions', 50, 1, (of) => of.getPositions('consumer', topics)],
        ['the first 100 of 1,000 positions', 202, 2, (of) => of.listPositions('consumer', '', 100)],
        ['nothing to purge', 0, 16, (of) => of.purgeExpired(NOW - 1, 1_000)],
        ['a trim that has nothing to remove', 3_000, 2, (of) => of.trimTopic('big', 3_000)],
        // For each topic: count, first entry, its time.
        ['the sizes of topics of 3,000, 3 and 0', 3_000 + 3 + 4, 7, (of) => of.topicCounts(['big', 'dev/7', 'none'], NOW - 1)],
        // 4 of each of 16 buckets, and their times.
        ['the time of the oldest message', 16 * 4 * 2, 17, (of) => of.oldestMessageAt(NOW - 1)],
        ['a number of messages', 6_000, 2, (of) => of.countMessages()],
        // The messages looked up, tombstones, messages, entries, the topic's entry, its others.
        ['50 to remove', 50 + 1 + 1, 1 + 2 + 2 + 2 + 1 + 1, (of) => of.removeMessages(refs, NOW)],
      ])('%s: reads %i items, in %i requests', async (_, read, requests, call) => {
        await call(store);
        expect(front.read).toBeLessThanOrEqual(read);
        expect(front.exchanges.length).toBeLessThanOrEqual(requests);
      });
    });

    const batch = (count: number, topics: number, fields: Partial<Message> = {}) =>
      Array.from({ length: count }, (_, i) => message({ topic: `saved/${topics}/${i % topics}`, ...fields }));

    it.each([
      // Tombstones and messages looked up, tombstones again; entries, messages, topics.
      [16, 1, { BatchGetItem: 1 + 1 + 1, BatchWriteItem: 1 + 1 + 1 }],
      [256, 2, { BatchGetItem: 3 + 3 + 3, BatchWriteItem: 11 + 11 + 1 }],
      [256, 256, { BatchGetItem: 3 + 3 + 3, BatchWriteItem: 11 + 11 + 11 }],
    ])(
      'saves %i messages of %i new topics in 4 round trips, of as many requests as it takes 100 to read and 25 to write',
      async (count, topics, requests) => {
        expect(await roundTrips(() => store.saveMessages(batch(count, topics)))).toBe(4);
        expect(front.counts).toEqual(requests);
      },
    );

    it('reads a message of each known topic in place of writing the topic', async () => {
      await store.saveMessages(batch(256, 200));
      front.reset();
      expect(await roundTrips(() => store.saveMessages(batch(256, 200)))).toBe(4);
      expect(front.counts).toEqual({ BatchGetItem: 3 + 3 + 2 + 3, BatchWriteItem: 11 + 11 });
    });

    it('removes a batch from topics that have other messages with as many requests as it takes to read 100 and to write 25', async () => {
      const [kept, removed] = [batch(150, 150), batch(150, 150)];
      for (const saved of [kept, removed]) await store.saveMessages(saved);
      front.reset();
      expect(await store.removeMessages(removed, Date.now() + 60_000)).toBe(150);
      // Messages and a kept message of each topic looked up; tombstones, messages, entries.
      expect(front.counts).toEqual({ BatchGetItem: 2 + 2, BatchWriteItem: 6 + 6 + 6 });
      front.reset();
      expect(await store.removeMessages(kept, Date.now() + 60_000)).toBe(150);
      // The topics' entries are looked up, and each topic is searched for messages and deleted.
      expect(front.counts).toEqual({ BatchGetItem: 2 + 2, BatchWriteItem: 6 + 6 + 6, Query: 150, DeleteItem: 150 });
    });

    it('purges expired messages in batches from all buckets', async () => {
      const now = Date.now();
      await store.saveMessages(batch(256, 8, { expiresAt: now + 9_000_000 }));
      await store.saveMessages(batch(256, 8, { expiresAt: now - 1 }));
      front.reset();
      let removed = 0;
      for (let more = true; more;) {
        const step = await store.purgeExpired(now, 1_000);
        [removed, more] = [removed + step.removed, step.more];
      }
      expect(removed).toBe(256);
      // Each bucket is read once. Messages and a kept one of each topic are looked up; messages and entries are deleted.
      expect(front.counts).toEqual({ Query: 16, BatchGetItem: 3 + 1, BatchWriteItem: 11 + 11 });
    });

    it('lets no payload leave the database for removing, purging, trimming and counting', async () => {
      const payload = Buffer.from('a payload that nobody asked for');
      const now = Date.now();
      await store.saveMessages(batch(30, 3, { payload, expiresAt: now - 1 }));
      const saved = batch(30, 3, { payload });
      await store.saveMessages(saved);
      front.reset();
      await store.removeMessages(saved.slice(0, 10), now + 60_000);
      await store.purgeExpired(now, 1_000);
      await store.topicCounts(['saved/3/0'], now);
      await store.listRefs({ topic: 'saved/3/0', after: '', limit: 100, now });
      for (const topic of ['saved/3/0', 'saved/3/1', 'saved/3/2']) await store.trimTopic(topic, 1);
      expect(front.exchanges.length).toBeGreaterThan(10);
      expect(JSON.stringify(front.exchanges)).not.toContain(payload.toString());
    });

    it('sends a batch of large messages in requests of at most 6 MB', async () => {
      const payload = Buffer.alloc(1_048_576, 255);
      const sizes: number[] = [];
      front.answer = (_, input, forward) => {
        sizes.push(JSON.stringify(input).length);
        return forward(input);
      };
      const saved = [...batch(8, 1, { payload }), ...batch(16, 1, { payload: payload.subarray(0, 390_000) })];
      expect(await store.saveMessages(saved)).toEqual([]);
      expect(Math.max(...sizes)).toBeLessThan(6 * 1_048_576);
      expect(sizes.length).toBeGreaterThan(6);
      const found = await store.listMessages({ topic: 'saved/1/0', after: saved[0]!.id.slice(0, -1), limit: 100, now: 0 });
      expect(found.map(({ id }) => id)).toEqual(saved.map(({ id }) => id));
      expect(found.every((each, i) => each.payload.equals(saved[i]!.payload))).toBe(true);
      expect(await store.removeMessages(saved, Date.now() + 60_000)).toBe(24);
      expect((await tables.items('mqtt_msg_part')).length).toBe(0);
    });

    it('sends again what DynamoDB leaves over', async () => {
      front.answer = async (operation, input, forward) => {
        const left = { BatchWriteItem: 'UnprocessedItems', BatchGetItem: 'UnprocessedKeys' }[operation];
        return left === undefined
          ? forward(input)
          : { ...(await forward({ ...input, RequestItems: firstOf(input.RequestItems) })), [left]: restOf(input.RequestItems) };
      };
      const saved = Array.from({ length: 30 }, () => message({ topic: 'throttled' }));
      expect(await store.saveMessages(saved)).toEqual([]);
      expect(await store.listMessages({ topic: 'throttled', after: '', limit: 100, now: 0 })).toEqual(saved);
      expect(await store.removeMessages(saved, NOW)).toBe(30);
      await store.saveMessages(saved);
      front.answer = (_, input, forward) => forward(input);
      expect(await store.listMessages({ topic: 'throttled', after: '', limit: 100, now: 0 })).toEqual([]);
    });

    it('gives up for the moment when DynamoDB takes nothing', async () => {
      front.answer = async (operation, input, forward) =>
        operation === 'BatchWriteItem' ? { UnprocessedItems: input.RequestItems } : forward(input);
      await expect(store.saveMessages([message({ topic: 'busy' })])).rejects.toThrow(RetryableError);
      await expect(store.putSubscriptions([{ clientid: 'c', topic: 't', qos: 0 }])).rejects.toThrow(/too busy/);
      expect(front.exchanges.filter(({ operation }) => operation === 'BatchWriteItem')).toHaveLength(16);
    });
  });
});

/**
 * How often the work sends a request while it waits for no other answer. The requests are counted where the store makes them: they reach a
 * server at different times when their connections are new.
 */
async function roundTrips(work: () => Promise<unknown>): Promise<number> {
  let [trips, underWay] = [0, 0];
  const call = Client.prototype.call;
  const spy = jest.spyOn(Client.prototype, 'call').mockImplementation(async function (this: Client, request) {
    if (underWay++ === 0) trips++;
    return call.call(this, request).finally(() => underWay--);
  });
  await work().finally(() => spy.mockRestore());
  return trips;
}

type Requests = Record<string, unknown> | undefined;
type Batch = unknown[] | { readonly Keys: unknown[] };

/** One item of the first table. */
function firstOf(requests: Requests): Record<string, unknown> {
  const [[name, batch] = ['', []]] = Object.entries(requests ?? {}) as [string, Batch][];
  return { [name]: Array.isArray(batch) ? batch.slice(0, 1) : { ...batch, Keys: batch.Keys.slice(0, 1) } };
}

function restOf(requests: Requests): Record<string, unknown> {
  const [[name, batch] = ['', []], ...others] = Object.entries(requests ?? {}) as [string, Batch][];
  const rest = Array.isArray(batch) ? batch.slice(1) : batch.Keys.slice(1);
  const own = rest.length === 0 ? {} : { [name]: Array.isArray(batch) ? rest : { ...batch, Keys: rest } };
  return { ...own, ...Object.fromEntries(others) };
}
