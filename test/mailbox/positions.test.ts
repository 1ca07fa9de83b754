import { Positions } from '../../src/mailbox/positions/positions';
import type { StoredRef } from '../../src/stores/store';
import { MemoryStore } from '../support/memory-store';
import { policy } from '../support/policies';

const TOPIC = 't/1';
const EPOCH = 1_800_000_000_000;

/** EMQX's id of the i-th of 5,000 messages a second; one publisher, or a new one for each message. */
function idOf(i: number, publisher = 'F49A0000049C'): string {
  return (BigInt(EPOCH) * 1000n + BigInt(i * 200)).toString(16).toUpperCase().padStart(16, '0') + publisher + '0001';
}

/** A store whose topic may have very many messages. */
class LongStore extends MemoryStore {
  readonly refs: StoredRef[] = [];
  bytes = 0;
  largest = 0;
  lists = 0;

  override async listRefs({ after, limit }: { after: string; limit: number }) {
    this.lists++;
    let [from, to] = [0, this.refs.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.refs[middle] as StoredRef).id > after) to = middle;
      else from = middle + 1;
    }
    return this.refs.slice(from, from + limit);
  }

  override async putPositions(positions: Parameters<MemoryStore['putPositions']>[0]) {
    const bytes = JSON.stringify(positions).length;
    this.bytes += bytes;
    this.largest = Math.max(this.largest, bytes);
    await super.putPositions(positions);
  }
}

/** 5,000 acknowledgements a second of one topic, 250 in a pass, for `seconds`; `storedAfter`: passes. */
async function acknowledge(seconds: number, { publisherOf = (_: number): string | undefined => undefined, storedAfter = 0 } = {}) {
  const store = new LongStore();
  let now = EPOCH;
  const positions = new Positions({
    store,
    state: { raise: async () => undefined },
    policies: [policy({ mode: 'pubsub' })],
    now: () => now,
  });
  const count = seconds * 5_000;
  const all = Array.from({ length: count }, (_, i) => ({ id: idOf(i, publisherOf(i)), publishReceivedAt: EPOCH + i / 5 }));
  for (let pass = 0; pass * 250 < count + 2_500; pass++) {
    now = EPOCH + (pass + 1) * 50;
    if (pass >= storedAfter) store.refs.push(...all.slice((pass - storedAfter) * 250, (pass - storedAfter + 1) * 250));
    const own = positions.open('c');
    await own.read(all.slice(pass * 250, (pass + 1) * 250).map(({ id }) => ({ topic: TOPIC, id, filters: [] })));
    if (own.isChanged) await own.save(own.version + 1);
  }
  const [set] = await positions.open('c').sets([TOPIC], []);
  return { store, unread: all.filter((ref) => set?.has(ref) !== true).length, perSecond: store.bytes / seconds };
}

describe('5,000 acknowledgements per second of one topic by one consumer', () => {
  it('are all stored in a small row', async () => {
    const { store, unread, perSecond } = await acknowledge(20);
    expect(unread).toBe(0);
    expect(store.largest).toBeLessThan(40_000);
    expect(perSecond).toBeLessThan(800_000);
    expect(store.lists).toBeLessThan(20 * 20 * 4);
  });

  it('are stored in a small row when each has another publisher', async () => {
    const { store, unread } = await acknowledge(5, { publisherOf: (i) => i.toString(16).toUpperCase().padStart(12, '0') });
    expect(unread).toBe(0);
    expect(store.largest).toBeLessThan(100_000);
  });

  // Acknowledgements go to the client's lane at the door, beside their messages.
  it('are stored in a small row when the messages are stored a second later', async () => {
    const { store, unread } = await acknowledge(5, { storedAfter: 20 });
    expect(unread).toBe(0);
    expect(store.largest).toBeLessThan(100_000);
  });
});

describe("a consumer's positions in a pass", () => {
  it("are read once, and written with the mailbox's version after a change", async () => {
    const store = new MemoryStore();
    await store.putPositions([{ consumer: 'c', topic: 'a', id: '', receipts: ['A'], version: 3 }]);
    const asked: string[][] = [];
    const getPositions = store.getPositions.bind(store);
    store.getPositions = (consumer, topics) => (asked.push([...topics]), getPositions(consumer, topics));
    const own = new Positions({
      store,
      state: { raise: async () => undefined },
      policies: [policy({ mode: 'pubsub' })],
      now: () => EPOCH,
    }).open('c');
    expect([own.version, own.isChanged]).toEqual([0, false]);
    await own.sets(['a', 'b'], ['+']);
    expect([own.version, own.isChanged]).toEqual([3, false]);
    await own.read([{ topic: 'b', id: 'B', filters: ['+'] }]);
    await own.read([{ topic: 'a', id: 'B', filters: [] }]);
    await own.late([{ topic: 'unknown', id: 'B' }]);
    expect(asked).toEqual([['a', 'b', '+'], ['unknown']]);
    await own.save(9);
    expect([...store.positions.values()]).toEqual([
      { consumer: 'c', topic: 'a', id: '', receipts: [`@${EPOCH}`, 'A', 'B'], version: 9 },
      { consumer: 'c', topic: 'b', id: '', receipts: [`@${EPOCH}`, 'B'], version: 9 },
    ]);
    expect(own.isChanged).toBe(false);
  });

  it('include the start time of a wildcard subscriber for a topic without a row', async () => {
    const store = new MemoryStore();
    const positions = new Positions({
      store,
      state: { raise: async () => undefined },
      policies: [policy({ mode: 'pubsub', from: 'now' })],
      now: () => EPOCH,
    });
    const first = positions.open('c');
    await first.subscribed('t/#', 500);
    await first.subscribed('t/#', 400);
    await first.save(1);
    expect((await store.listPositions('$share/', '', 10)).map(({ topic }) => topic)).toEqual(['t/#']);
    const [set] = await positions.open('c').sets(['t/1'], ['t/#']);
    expect(set?.startsAt).toBe(400);
  });
});
