import { RetryableError } from '../../src/base/errors';
import type { DynamoStore } from '../../src/stores/dynamodb';
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
      }, 60_000);

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
        // Tombstones read and written, deletions, entries, the topic's others.
        ['50 to remove', 1, 1 + 2 + 50 + 2 + 1, (of) => of.removeMessages(refs, NOW)],
      ])('%s: reads %i items, in %i requests', async (_, read, requests, call) => {
        await call(store);
        expect(front.read).toBeLessThanOrEqual(read);
        expect(front.exchanges.length).toBeLessThanOrEqual(requests);
      });
    });

    it.each([
      // Tombstones and messages looked up, entries, messages, the topic, tombstones again.
      [16, { BatchGetItem: 1 + 1 + 1, BatchWriteItem: 1 + 1 + 1 }],
      [256, { BatchGetItem: 3 + 3 + 3, BatchWriteItem: 11 + 11 + 1 }],
    ])('saves %i messages in 5 round trips, of as many requests as it takes 100 to read and 25 to write', async (count, requests) => {
      await store.saveMessages(Array.from({ length: count }, () => message({ topic: 'saved' })));
      expect(front.counts).toEqual(requests);
      expect(front.roundTrips).toBe(5);
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
