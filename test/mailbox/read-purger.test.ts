import { FILTERS } from '../../src/mailbox/positions/positions';
import { ReadPurger } from '../../src/mailbox/positions/read-purger';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const NOW = 1_000_000_000;
const TTL = 100_000;
const ids = ['A', 'B', 'C'];

async function left(positions: readonly [string, string, readonly string[]][], fields: Parameters<typeof policy>[0] = {}) {
  const store = new MemoryStore();
  await store.saveMessages(ids.map((id) => message({ topic: 't/1', id, publishReceivedAt: NOW - 50_000 })));
  await store.saveMessages([message({ topic: 't/1', id: 'D', publishReceivedAt: NOW - 1 })]);
  await store.putPositions(positions.map(([consumer, topic, receipts]) => ({ consumer, topic, id: '', receipts })));
  const purger = new ReadPurger({ store, policies: [policy({ mode: 'pubsub', ttlMs: TTL, ...fields })], now: () => NOW });
  const removed = await purger.run();
  const kept = [...store.messages.keys()];
  expect(removed).toBe(4 - kept.length);
  return kept.join('');
}
const seen = `@${NOW - 1_000}`;
const gone = `@${NOW - TTL - 1}`;
const registered: [string, string, string[]] = [FILTERS, 't/+', [seen]];

describe('the purge of what is read', () => {
  it('removes what everybody has read, but not what was just published', async () => {
    expect(await left([['c', 't/1', [seen, 'A', 'B', 'C', 'D']], ['d', 't/1', [seen, 'A', 'C']]])).toBe('BD');
  });

  it('leaves everything where nobody is known, and in other modes', async () => {
    expect(await left([])).toBe('ABCD');
    expect(await left([['c', 't/1', [seen, 'A']]], { mode: 'queue' })).toBe('ABCD');
  });

  it('does not wait for who was not seen within the ttl', async () => {
    expect(await left([['c', 't/1', [seen, 'A']], ['d', 't/1', [gone]]])).toBe('BCD');
    expect(await left([['d', 't/1', [gone, 'A']]])).toBe('ABCD');
  });

  // The guard is the registry of filters: without it B, which the wildcard subscriber has not got, would go.
  it('waits for who subscribed with a wildcard and has no position in the topic yet', async () => {
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [seen]], registered])).toBe('ABCD');
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [seen]], ['w', 't/1', [gone, 'A']], registered])).toBe('BCD');
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [gone]], registered])).toBe('CD');
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 'u/+', [seen]], [FILTERS, 'u/+', [seen]]])).toBe('CD');
  });

  it('goes on at the next run where its time was over, and begins again at the end', async () => {
    const store = new MemoryStore();
    const fill = async (id: string) => {
      for (const [i, topic] of ['t/1', 't/2', 't/3'].entries()) {
        await store.saveMessages([message({ topic, id: `${id}${i}`, publishReceivedAt: NOW - 50_000 })]);
        await store.putPositions([{ consumer: 'c', topic, id: '', receipts: [seen, `${id}${i}`] }]);
      }
    };
    const purger = new ReadPurger({ store, policies: [policy({ mode: 'pubsub' })], now: () => NOW }, 0);
    await fill('A');
    for (const left of [2, 1, 0]) {
      expect(await purger.run()).toBe(1);
      expect(store.messages.size).toBe(left);
    }
    // The end of the list, then from its start.
    expect(await purger.run()).toBe(0);
    await fill('B');
    expect((await purger.run()) + (await purger.run())).toBeGreaterThan(0);
  });

  it('knows since when a wildcard subscriber reads', async () => {
    expect(await left([['c', 't/1', [seen, 'A']], ['w', 't/+', [seen, `^${NOW - 40_000}`]], registered], { from: 'now' })).toBe('BCD');
  });
});
