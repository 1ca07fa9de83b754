import { ReadSet } from '../../src/mailbox/positions/read-set';
import { idOf } from './pubsub-world';

const stored = (...ks: number[]) => ks.map((k) => ({ id: idOf(k), publishReceivedAt: 1_000 + k }));
const isRead = (set: ReadSet, k: number) => set.has({ id: idOf(k), publishReceivedAt: 1_000 + k });
const NOW = 1_800_000_000_000;

async function compacted(set: ReadSet, ks: readonly number[], until: number): Promise<ReadSet> {
  const all = stored(...ks);
  await set.compact(async (after) => all.filter(({ id }) => id > after).slice(0, 8), idOf(until), 100);
  return ReadSet.of(set.toPosition());
}

describe('what a consumer has read', () => {
  it('is one id when all is read in order', async () => {
    const set = new ReadSet('c', 't');
    for (const k of [0, 1, 2]) set.add(idOf(k));
    const after = await compacted(set, [0, 1, 2, 3], 2);
    after.forgetAbsorbed();
    expect(after.toPosition()).toEqual({ consumer: 'c', topic: 't', id: idOf(2), receipts: [] });
    expect([0, 1, 2, 3].map((k) => isRead(after, k))).toEqual([true, true, true, false]);
  });

  // A client that never acknowledges one message, and one whose backlog is long: neither makes the position grow.
  it('is a range behind what is left out, however much is read', async () => {
    const set = new ReadSet('c', 't');
    const ks = Array.from({ length: 500 }, (_, i) => i);
    for (const k of ks) if (k !== 3 && k > 1) set.add(idOf(k));
    const after = await compacted(set, ks, 499);
    after.forgetAbsorbed();
    expect(after.toPosition()).toEqual({ consumer: 'c', topic: 't', id: '', receipts: [`${idOf(4)}..${idOf(499)}`, idOf(2)] });
    expect(ks.filter((k) => !isRead(after, k))).toEqual([0, 1, 3]);
  });

  it('steps over a long backlog without reading it', async () => {
    const set = new ReadSet('c', 't');
    for (let k = 5_000; k < 5_010; k++) set.add(idOf(k));
    let reads = 0;
    const all = stored(...Array.from({ length: 5_010 }, (_, i) => i));
    await set.compact(async (after) => (reads++, all.filter(({ id }) => id > after).slice(0, 4)), idOf(5_009), 100);
    expect(reads).toBeLessThan(10);
    expect(set.loose()).toEqual([]);
  });

  // Of 300 ranges with gaps between them only the last has something new.
  it('goes on where something new is, not through every range again', async () => {
    const ks = Array.from({ length: 1_000 }, (_, i) => i);
    const ranges = Array.from({ length: 300 }, (_, i) => `${idOf(i * 3)}..${idOf(i * 3 + 1)}`);
    const set = ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts: [...ranges, idOf(898), idOf(899), idOf(900)].filter((each) => each !== '') });
    let reads = 0;
    const all = stored(...ks);
    await set.compact(async (after) => (reads++, all.filter(({ id }) => id > after).slice(0, 8)), idOf(900), 100);
    expect(reads).toBeLessThan(6);
    expect(set.loose()).toEqual([]);
  });

  // Promise 17. The guard is addLate: the range alone would hide it.
  it('does not hide what is told to be late', async () => {
    const set = await compacted(ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts: [idOf(1), idOf(5)] }), [1, 5], 5);
    expect(set.hides(idOf(3))).toBe(true);
    set.addLate(idOf(3));
    expect(isRead(set, 3)).toBe(false);
    expect(set.skip('') < idOf(3)).toBe(true);
    set.add(idOf(3));
    expect(isRead(set, 3)).toBe(true);
  });

  it('keeps an acknowledgement that came before its message', async () => {
    const set = await compacted(ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts: [idOf(1), idOf(3), idOf(5)] }), [1, 5], 5);
    set.add(idOf(4));
    for (const k of [3, 4]) set.addLate(idOf(k));
    expect([3, 4].map((k) => isRead(set, k))).toEqual([true, true]);
  });

  it('goes on at a position that EMQX left, whose ids are of another kind', () => {
    const set = ReadSet.of({ consumer: 'c', topic: 't', id: '2PguFrHsrzEvIIBdctmb', receipts: [] });
    expect(set.has({ id: '2PguFrHsrzEvIIBdctma', publishReceivedAt: 0 })).toBe(true);
    expect(isRead(set, 1)).toBe(false);
    expect(set.skip('')).toBe('');
  });

  it('counts what was published before its start as read', () => {
    const set = ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts: ['^1001'] });
    expect([0, 1, 2].map((k) => isRead(set, k))).toEqual([true, true, false]);
  });

  it('is bounded: the oldest are forgotten, and what is late is never', () => {
    const set = new ReadSet('c', 't');
    for (let k = 0; k < 9_000; k++) set.add(idOf(k * 2));
    set.tidy(NOW, Infinity);
    expect(set.toPosition().receipts.length).toBeLessThanOrEqual(9_000);
    expect(isRead(set, 0)).toBe(false);
    expect(isRead(set, 17_998)).toBe(true);

    const late = ReadSet.of({ consumer: 'c', topic: 't', id: idOf(9_000), receipts: [] });
    for (let k = 1_000; k < 3_000; k++) late.addLate(idOf(k));
    late.tidy(NOW, Infinity);
    expect(late.toPosition().receipts).toEqual([]);
    expect([999, 1_000, 2_999].map((k) => isRead(late, k))).toEqual([true, false, false]);
  });

  it('forgets what has expired', () => {
    const set = ReadSet.of({ consumer: 'c', topic: 't', id: '', receipts: [idOf(1), `!${idOf(2)}`, `${idOf(3)}..${idOf(4)}`, idOf(200)] });
    set.tidy(NOW + 1_500, 1_000);
    expect(set.toPosition().receipts).toEqual([idOf(200)]);
  });
});
