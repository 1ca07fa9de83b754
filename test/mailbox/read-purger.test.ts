import type { LaneProgress } from '../../src/lanes/sequence';
import { FILTERS, Positions } from '../../src/mailbox/positions/positions';
import { ReadPurger } from '../../src/mailbox/positions/read-purger';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const NOW = 1_000_000_000;
const TTL = 100_000;
const ids = ['A', 'B', 'C'];
const LANES = { messages: ['m'], clients: ['c'] };

/** Lanes with nothing to do, or as `progress` says. */
function purgerOf(
  store: MemoryStore,
  fields: Parameters<typeof policy>[0] = {},
  { progress = (_: string): LaneProgress => ({ tail: 0, oldest: null, waiting: null }), lookMs = 2_000 } = {},
) {
  const sequence = { progress: async (lanes: readonly string[]) => new Map(lanes.map((lane) => [lane, progress(lane)])) };
  return new ReadPurger(
    { store, sequence, lanes: LANES, policies: [policy({ mode: 'pubsub', ttlMs: TTL, ...fields })], now: () => NOW },
    lookMs,
    60,
  );
}

async function storeOf(positions: readonly [string, string, readonly string[]][]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.saveMessages(ids.map((id) => message({ topic: 't/1', id, publishReceivedAt: NOW - 50_000 })));
  await store.saveMessages([message({ topic: 't/1', id: 'D', publishReceivedAt: NOW - 1 })]);
  await store.putPositions(positions.map(([consumer, topic, receipts]) => ({ consumer, topic, id: '', receipts })));
  return store;
}

async function left(positions: readonly [string, string, readonly string[]][], fields: Parameters<typeof policy>[0] = {}) {
  const store = await storeOf(positions);
  const { removed } = await purgerOf(store, fields).run();
  const kept = [...store.messages.keys()];
  expect(removed).toBe(4 - kept.length);
  return kept.join('');
}
const seen = `@${NOW - 1_000}`;
const gone = `@${NOW - TTL - 1}`;
const registered: [string, string, string[]] = [FILTERS, 't/+', [seen]];

describe('the purge of read messages', () => {
  it('removes messages that every consumer has read, except those just published', async () => {
    expect(
      await left([
        ['c', 't/1', [seen, 'A', 'B', 'C', 'D']],
        ['d', 't/1', [seen, 'A', 'C', 'D']],
      ]),
    ).toBe('BD');
  });

  it('removes nothing without a known consumer or in queue mode', async () => {
    expect(await left([])).toBe('ABCD');
    expect(await left([['c', 't/1', [seen, 'A']]], { mode: 'queue' })).toBe('ABCD');
  });

  it('ignores consumers that were not seen within the ttl', async () => {
    expect(
      await left([
        ['c', 't/1', [seen, 'A']],
        ['d', 't/1', [gone]],
      ]),
    ).toBe('BCD');
    expect(await left([['d', 't/1', [gone, 'A']]])).toBe('ABCD');
  });

  // The guard is the registry of filters: without it B, which the wildcard subscriber has not got, would go.
  it('waits for a wildcard subscriber without a position in the topic', async () => {
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [seen]], registered])).toBe('ABCD');
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [seen]], ['w', 't/1', [gone, 'A']], registered])).toBe('BCD');
    expect(await left([['c', 't/1', [seen, 'A', 'B']], ['w', 't/+', [gone]], registered])).toBe('CD');
    expect(
      await left([
        ['c', 't/1', [seen, 'A', 'B']],
        ['w', 'u/+', [seen]],
        [FILTERS, 'u/+', [seen]],
      ]),
    ).toBe('CD');
  });

  it('considers the start time of a wildcard subscriber', async () => {
    expect(await left([['c', 't/1', [seen, 'A']], ['w', 't/+', [seen, `^${NOW - 40_000}`]], registered], { from: 'now' })).toBe('BCD');
  });

  it('reads no messages while one consumer has read nothing', async () => {
    const store = await storeOf([
      ['c', 't/1', [seen, 'A', 'B']],
      ['d', 't/1', [seen]],
    ]);
    store.listRefs = () => Promise.reject(new Error('not to be read'));
    expect(await purgerOf(store).run()).toEqual({ removed: 0, more: false });
  });

  it('skips unread messages without reading them', async () => {
    const store = new MemoryStore();
    const all = Array.from({ length: 3_000 }, (_, i) => `M${String(i).padStart(4, '0')}`);
    await store.saveMessages(all.map((id) => message({ topic: 't/1', id, publishReceivedAt: NOW - 50_000 })));
    await store.putPositions([{ consumer: 'c', topic: 't/1', id: '', receipts: [seen, 'M2900..M2999'] }]);
    let looks = 0;
    const listRefs = store.listRefs.bind(store);
    store.listRefs = (query) => (looks++, listRefs(query));
    expect(await purgerOf(store).run()).toEqual({ removed: 100, more: false });
    expect(looks).toBe(1);
  });
});

describe('between the two checks of the purge', () => {
  /** Something is in a lane at the first look, and done later. */
  function withWork(store: MemoryStore, lane: 'm' | 'c', work: () => Promise<void>) {
    let asked = 0;
    let done = false;
    const purger = purgerOf(
      store,
      {},
      {
        progress: (each) => {
          if (each !== lane || done) return { tail: 7, oldest: null, waiting: null };
          if (++asked === 2) void work().then(() => (done = true));
          return { tail: 7, oldest: 7, waiting: 7 };
        },
      },
    );
    return purger;
  }

  // Promise 4. The guard is the second look: c has read everything, and d has subscribed and is still in its lane.
  it('an accepted subscription is taken into account', async () => {
    const store = await storeOf([['c', 't/1', [seen, 'A', 'B']]]);
    const positions = new Positions({
      store,
      state: { raise: async () => undefined },
      policies: [policy({ mode: 'pubsub' })],
      now: () => NOW,
    });
    const purger = withWork(store, 'c', async () => {
      const own = positions.open('d');
      await own.subscribed('t/1', NOW);
      await own.save(1);
    });
    expect(await purger.run()).toEqual({ removed: 0, more: false });
    expect(store.messages.size).toBe(4);
  });

  // Promise 17.
  it('a report of late messages is taken into account', async () => {
    const store = await storeOf([['c', 't/1', [seen, 'A..C']]]);
    const purger = withWork(store, 'm', async () => {
      await store.putPositions([{ consumer: 'c', topic: 't/1', id: '', receipts: [seen, 'A..C', '!B'] }]);
    });
    expect(await purger.run()).toMatchObject({ removed: 2 });
    expect([...store.messages.keys()]).toEqual(['B', 'D']);
  });

  it('a lane with waiting jobs postpones the removal to the next run', async () => {
    const store = new MemoryStore();
    for (let i = 0; i < 8; i++) {
      await store.saveMessages([message({ topic: `t/${i}`, id: `A${i}`, publishReceivedAt: NOW - 50_000 })]);
      await store.putPositions([{ consumer: 'c', topic: `t/${i}`, id: '', receipts: [seen, `A${i}`] }]);
    }
    let isBehind = true;
    const purger = purgerOf(store, {}, { progress: () => ({ tail: 7, oldest: isBehind ? 3 : 8, waiting: null }), lookMs: 0 });
    expect(await purger.run()).toEqual({ removed: 0, more: false });
    expect(store.messages.size).toBe(8);
    isBehind = false;
    expect(await purger.run()).toEqual({ removed: 4, more: true });
    expect([...store.messages.keys()]).toEqual(['A4', 'A5', 'A6', 'A7']);
  });

  it('a server that stops does not wait for the lanes', async () => {
    const store = await storeOf([['c', 't/1', [seen, 'A', 'B']]]);
    const purger = purgerOf(store, {}, { progress: () => ({ tail: 7, oldest: 3, waiting: 3 }) });
    expect(await purger.run(() => true)).toEqual({ removed: 0, more: false });
  });
});

describe('a run of the purge', () => {
  it('is continued by the next run, which starts again after the last topic', async () => {
    const store = new MemoryStore();
    const fill = async (id: string) => {
      for (let i = 0; i < 10; i++) {
        await store.saveMessages([message({ topic: `t/${i}`, id: `${id}${i}`, publishReceivedAt: NOW - 50_000 })]);
        await store.putPositions([{ consumer: 'c', topic: `t/${i}`, id: '', receipts: [seen, `${id}${i}`] }]);
      }
    };
    const purger = purgerOf(store, {}, { lookMs: 0 });
    await fill('A');
    const runs: number[] = [];
    for (let more = true; more;) {
      const run = await purger.run();
      runs.push(run.removed);
      ({ more } = run);
    }
    expect(runs.slice(0, 3)).toEqual([4, 4, 2]);
    expect(store.messages.size).toBe(0);
    await fill('B');
    for (let i = 0; i < 4; i++) await purger.run();
    expect(store.messages.size).toBe(0);
  });

  it('removes a topic with more messages than its limit over several runs', async () => {
    const store = new MemoryStore();
    const all = Array.from({ length: 21_000 }, (_, i) => `M${String(i).padStart(5, '0')}`);
    const refs = all.map((id) => ({ id, publishReceivedAt: NOW - 50_000 }));
    const left = new Set(all);
    const counted = Object.assign(store, {
      listTopics: async ({ after }: { after: string }) => (after === '' ? ['t/1'] : []),
      listRefs: async ({ after, limit }: { after: string; limit: number }) =>
        refs.filter(({ id }) => left.has(id) && id > after).slice(0, limit),
      removeMessages: async (own: readonly { id: string }[]) => own.filter(({ id }) => left.delete(id)).length,
    });
    await counted.putPositions([{ consumer: 'c', topic: 't/1', id: all.at(-1) as string, receipts: [seen] }]);
    const purger = purgerOf(counted);
    expect(await purger.run()).toEqual({ removed: 20_000, more: true });
    expect(await purger.run()).toEqual({ removed: 1_000, more: false });
  });
});
