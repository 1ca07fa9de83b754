import { compact, coverUntil, type List } from '../../src/mailbox/positions/compaction';
import { ReadSet } from '../../src/mailbox/positions/read-set';
import type { StoredRef } from '../../src/stores/store';
import { idOf } from './pubsub-world';

const ref = (k: number): StoredRef => ({ id: idOf(k), publishReceivedAt: 1_000 + k });
const isRead = (set: ReadSet, k: number) => set.has(ref(k));
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const NOW = 1_800_000_000_000;
const LONG_AFTER = NOW + 10_000;

function listOf(ks: readonly number[], onList: () => void = () => undefined): List {
  const all = ks.map(ref);
  return async (after, limit) => (onList(), all.filter(({ id }) => id > after).slice(0, limit));
}

function setOf(...receipts: string[]): ReadSet {
  return ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts });
}

function withRead(ks: readonly number[]): ReadSet {
  const set = new ReadSet('c', 't');
  for (const k of ks) set.add(idOf(k), NOW);
  return set;
}

async function compacted(set: ReadSet, ks: readonly number[], until: number): Promise<ReadSet> {
  await compact(set, idOf(until), listOf(ks), () => NOW);
  return ReadSet.of(set.toPosition());
}

describe('the read set of a consumer', () => {
  it('is a single id when all messages are read in order', async () => {
    const set = await compacted(withRead([0, 1, 2]), [0, 1, 2, 3], 2);
    set.tidy(LONG_AFTER, Infinity);
    expect(set.toPosition(7)).toEqual({ consumer: 'c', topic: 't', id: idOf(2), receipts: [], version: 7 });
    expect([0, 1, 2, 3].map((k) => isRead(set, k))).toEqual([true, true, true, false]);
  });

  // A client that never acknowledges one message, and one whose backlog is long: neither makes the position grow.
  it('is a range after the unread messages, however many are read', async () => {
    const ks = upTo(5_000);
    const set = await compacted(withRead(ks.filter((k) => k !== 3 && k > 1)), ks, 4_999);
    set.tidy(LONG_AFTER, Infinity);
    expect(set.toPosition()).toEqual({ consumer: 'c', topic: 't', id: '', receipts: [`${idOf(4)}..${idOf(4_999)}`, `=${idOf(2)}`] });
    expect(ks.filter((k) => !isRead(set, k))).toEqual([0, 1, 3]);
  });

  it('joins two ranges when the gap between them is read', async () => {
    const set = await compacted(withRead([0, 1, 3, 4, 6]), upTo(10), 6);
    for (const k of [5, 2]) set.add(idOf(k), NOW);
    const after = await compacted(set, upTo(10), 6);
    after.tidy(LONG_AFTER, Infinity);
    expect(after.toPosition()).toMatchObject({ id: idOf(6), receipts: [] });
  });

  it('drops a range inside a larger one although its messages are deleted', async () => {
    const set = await compacted(withRead([0, 2, 4]), upTo(10), 4);
    for (const k of [1, 5]) set.add(idOf(k), NOW);
    const after = await compacted(set, [0, 1, 5, 6], 5);
    expect([0, 1, 4, 5, 6].map((k) => isRead(after, k))).toEqual([true, true, true, true, false]);
    expect(after.toPosition().receipts.filter((entry) => entry.startsWith('='))).toEqual([]);
  });

  it('skips a long backlog without reading it', async () => {
    const set = withRead(upTo(5_010).slice(5_000));
    let reads = 0;
    await compact(
      set,
      idOf(5_009),
      listOf(upTo(5_010), () => reads++),
      () => NOW,
    );
    expect(reads).toBeLessThan(4);
    expect(set.fresh.size).toBe(0);
  });

  // There are 300 ranges with gaps between them, and only the last has new acknowledgements.
  it('reads only the range with new acknowledgements', async () => {
    const ranges = upTo(300).map((i) => `${idOf(i * 3)}..${idOf(i * 3 + 1)}`);
    const set = setOf(...ranges, idOf(898), idOf(899), idOf(900));
    let reads = 0;
    await compact(
      set,
      idOf(900),
      listOf(upTo(1_000), () => reads++),
      () => NOW,
    );
    expect(reads).toBeLessThan(4);
    expect(set.fresh.size).toBe(0);
  });

  it('compacts 20,000 acknowledgements in under 2 s', async () => {
    const ks = upTo(20_000);
    const set = withRead(ks.filter((k) => k % 50 !== 0));
    const all = ks.map(ref);
    const list: List = async (after, limit) => {
      const at = after === '' ? 0 : all.findIndex(({ id }) => id > after);
      return at < 0 ? [] : all.slice(at, at + limit);
    };
    const start = performance.now();
    for (let i = 0; set.fresh.size > 0 && i < 10; i++) await compact(set, idOf(19_999), list, () => NOW);
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(set.fresh.size).toBe(0);
    expect(ks.filter((k) => !isRead(set, k))).toEqual(ks.filter((k) => k % 50 === 0));
  });

  // Promise 17. The guard is addLate: the range alone would hide it.
  it('does not hide a message that was reported as late', async () => {
    const set = await compacted(setOf(idOf(1), idOf(5)), [1, 5], 5);
    expect(set.hides(idOf(3))).toBe(true);
    set.addLate(idOf(3), NOW);
    expect(isRead(set, 3)).toBe(false);
    expect(set.skip('') < idOf(3)).toBe(true);
    set.add(idOf(3), NOW);
    expect(isRead(set, 3)).toBe(true);
  });

  it('keeps an acknowledgement that arrived before its message', async () => {
    const set = await compacted(setOf(idOf(1), idOf(3), idOf(5)), [1, 5], 5);
    set.add(idOf(4), NOW);
    for (const k of [3, 4]) set.addLate(idOf(k), NOW);
    expect([3, 4].map((k) => isRead(set, k))).toEqual([true, true]);
  });

  // The guard is what was absorbed: a writer looks at the mark after it has stored the message, and tells.
  it('remembers for a second the ids that a range absorbed', async () => {
    const set = await compacted(setOf(idOf(1), idOf(2)), [1, 2], 2);
    set.addLate(idOf(1), NOW + 900);
    expect(isRead(set, 1)).toBe(true);
    set.tidy(NOW + 1_100, Infinity);
    expect(set.toPosition().receipts).toEqual([]);
  });

  it('reads rows of older versions and drops obsolete entries', () => {
    const set = setOf(`>${idOf(9)}@123`, `+${idOf(1)}`, idOf(2), `${idOf(4)}..${idOf(6)}`, `!${idOf(5)}`, '@42');
    expect(upTo(8).map((k) => isRead(set, k))).toEqual([false, false, true, false, true, false, true, false]);
    expect(set.toPosition().receipts).toEqual(['@42', `!${idOf(5)}`, `${idOf(4)}..${idOf(6)}`, idOf(2)]);
  });

  it("continues from a position of EMQX's plugin with ids of another format", async () => {
    const set = ReadSet.of({ consumer: 'c', topic: 't', id: '2PguFrHsrzEvIIBdctmb', receipts: [] });
    expect(set.has({ id: '2PguFrHsrzEvIIBdctma', publishReceivedAt: 0 })).toBe(true);
    expect(isRead(set, 1)).toBe(false);
    expect(set.skip('')).toBe('');
    for (const k of [1, 2]) set.add(idOf(k), NOW);
    const after = await compacted(set, [1, 2, 3], 2);
    expect([1, 2, 3].map((k) => isRead(after, k))).toEqual([true, true, false]);
    expect(after.toPosition()).toMatchObject({ id: '2PguFrHsrzEvIIBdctmb' });
  });

  it('counts what was published before its start as read', () => {
    expect([0, 1, 2].map((k) => isRead(setOf('^1001'), k))).toEqual([true, true, false]);
  });

  it('finds the next read id after a gap', () => {
    const set = setOf(`${idOf(100)}..${idOf(200)}`, idOf(300));
    const [first, second] = [set.nextRead(''), set.nextRead(idOf(200))];
    expect(first !== null && first < idOf(100) && first > idOf(99)).toBe(true);
    expect(set.nextRead(idOf(150))).toBe(idOf(150));
    expect(second !== null && second < idOf(300) && second > idOf(299)).toBe(true);
    expect(set.nextRead(idOf(300))).toBeNull();
  });

  it('has a size limit: the oldest entries are dropped, but never late messages', () => {
    const set = withRead(upTo(60_000));
    set.tidy(NOW, Infinity);
    expect(JSON.stringify(set.toPosition()).length).toBeLessThan(130_000);
    expect(isRead(set, 0)).toBe(false);
    expect(isRead(set, 59_999)).toBe(true);

    const late = ReadSet.of({ consumer: 'c', topic: 't', id: idOf(9_000), receipts: [] });
    for (let k = 1_000; k < 4_000; k++) late.addLate(idOf(k), NOW);
    late.tidy(NOW, Infinity);
    expect(late.toPosition().receipts).toEqual([]);
    expect([999, 1_000, 2_999].map((k) => isRead(late, k))).toEqual([true, false, false]);
  });

  it('drops expired ids', () => {
    const set = setOf(idOf(1), `!${idOf(2)}`, `${idOf(2)}..${idOf(4)}`, idOf(200));
    set.tidy(NOW + 1_500, 1_000);
    expect(set.toPosition().receipts).toEqual([idOf(200)]);
  });
});

describe('the id up to which a position is compacted', () => {
  const until = (set: ReadSet, stored: readonly number[], now: number) => coverUntil(set, listOf(stored), now, 3);

  it('is set only when enough old acknowledgements exist', async () => {
    expect(await until(withRead([0, 1]), [0, 1], LONG_AFTER)).toBeNull();
    expect(await until(withRead(upTo(40)), upTo(40), NOW + 310)).toBeNull();
    expect(await until(withRead(upTo(40)), upTo(40), NOW + 400)).toBe(idOf(9));
  });

  // The guard: a mark that is ahead of what is stored makes every message a late one.
  it('is never ahead of the stored messages', async () => {
    expect(await until(withRead(upTo(40)), upTo(20), LONG_AFTER)).toBe(idOf(19));
    expect(await until(withRead(upTo(40)), [], LONG_AFTER)).toBeNull();
  });

  it('does not wait for a slow clock when there are many acknowledgements', async () => {
    expect(await until(withRead(upTo(5_000)), upTo(5_000), NOW - 60_000)).toBe(idOf(2_999));
  });
});
