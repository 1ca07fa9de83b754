import { LateWrites, type LateRef } from '../../src/mailbox/positions/late-writes';
import { markOf, Positions } from '../../src/mailbox/positions/positions';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const LOOSE = 3;
const NOW = 1_800_000_000_000;

/** Three consumers: `past` has passed C, a pass of `near` may be about to, and that of `new` is not. */
async function subject(mark: string | null = 'C') {
  const store = new MemoryStore();
  const told: LateRef[] = [];
  const marks = new Map(mark === null ? [] : [[markOf('t'), mark]]);
  await store.putPositions([
    { consumer: 'past', topic: 't', id: 'C', receipts: [] },
    { consumer: 'near', topic: 't', id: '', receipts: ['D', 'E', 'F'] },
    { consumer: 'new', topic: 't', id: '', receipts: ['C'] },
  ]);
  const state = {
    getAll: async (keys: readonly string[]) => new Map([...marks].filter(([key]) => keys.includes(key))),
    raise: async (entries: readonly { key: string; value: string }[]) =>
      entries.forEach(({ key, value }) => value > (marks.get(key) ?? '') && marks.set(key, value)),
  };
  const policies = [policy({ filter: 'queue/#' }), policy({ mode: 'pubsub' })];
  const lateWrites = new LateWrites({ store, state, lanes: { late: async (late) => void told.push(...late) }, policies }, LOOSE);
  const positions = new Positions({ store, state, policies, now: () => NOW }, LOOSE);
  /** @returns who is told. */
  const write = async (id: string, { takenOver = false, topic = 't', during = async (): Promise<void> => undefined } = {}) => {
    const own = [message({ topic, id })];
    told.length = 0;
    await lateWrites.around(own, takenOver, async () => {
      await during();
      await store.saveMessages(own);
    });
    return told.map(({ consumer }) => consumer);
  };
  return { store, marks, told, write, positions };
}
type Write = Awaited<ReturnType<typeof subject>>['write'];

/** Promise 17. */
describe('a late write', () => {
  it('is reported to consumers whose position has passed it or may soon pass it', async () => {
    const { write } = await subject();
    expect(await write('B')).toEqual(['past', 'near']);
  });

  it('is not assumed when no position has passed the id, and no position is read', async () => {
    const { store, write } = await subject();
    store.positionsOfTopic = async () => Promise.reject(new Error('not to be read'));
    expect(await write('D')).toEqual([]);
    expect(await write('B', { topic: 'queue/1' })).toEqual([]);
  });

  it("is not reported when EMQX sends a stored message's event again", async () => {
    const { store, write } = await subject();
    await store.saveMessages([message({ topic: 't', id: 'B' })]);
    expect(await write('B')).toEqual([]);
  });

  it.each([
    ['was in hand when the process died', async (write: Write) => write('B', { takenOver: true })],
    [
      'failed before and may have been stored',
      async (write: Write) => {
        await expect(write('B', { during: () => Promise.reject(new Error('away')) })).rejects.toThrow('away');
        return write('B');
      },
    ],
  ])('is reported, although it is stored, when the write %s', async (_, again) => {
    const { store, write } = await subject();
    await store.saveMessages([message({ topic: 't', id: 'B' })]);
    expect(await again(write)).toContain('past');
  });

  // The guard is the look after the save.
  it('is reported when a position passes it during the write', async () => {
    const { marks, write } = await subject(null);
    expect(await write('B', { during: async () => void marks.set(markOf('t'), 'C') })).toEqual(['past', 'near']);
  });

  it('needs two reads of the shared state, for any number of topics', async () => {
    const { store } = await subject();
    let reads = 0;
    const lateWrites = new LateWrites({
      store,
      state: { getAll: async () => (reads++, new Map()) },
      lanes: { late: async () => undefined },
      policies: [policy({ mode: 'pubsub' })],
    });
    await lateWrites.around(
      ['a', 'b', 'c'].map((topic) => message({ topic })),
      false,
      async () => undefined,
    );
    expect(reads).toBe(2);
  });
});

/** Promises 17 and 21. */
describe('a process that paused while it read', () => {
  /** It has listed what is stored, B not among it, and read C to F; then B is stored, and told to the lane's next owner. */
  async function stalled() {
    const { store, write, positions } = await subject(null);
    await store.saveMessages(['D', 'E', 'F', 'G'].map((id) => message({ topic: 't', id })));
    const zombie = positions.open('near');
    await zombie.read([
      { topic: 't', id: 'A', filters: [] },
      { topic: 't', id: 'G', filters: [] },
    ]);
    expect(await write('B')).toEqual(['past', 'near']);
    const successor = positions.open('near');
    await successor.late([{ topic: 't', id: 'B' }]);
    return { store, zombie, successor, positions };
  }
  const hasB = async (positions: Positions) => (await positions.open('near').sets(['t'], []))[0]?.has({ id: 'B', publishReceivedAt: NOW });

  it('cannot hide a message that was stored during its pause', async () => {
    const { zombie, successor, positions } = await stalled();
    expect(successor.isChanged).toBe(true);
    await successor.save(2);
    await zombie.save(1);
    expect(await hasB(positions)).toBe(false);
  });

  it('would hide that message if positions had no versions', async () => {
    const { zombie, successor, positions } = await stalled();
    await successor.save(2);
    await zombie.save(3);
    expect(await hasB(positions)).toBe(true);
  });

  it('does not hide that message when it saves before its successor', async () => {
    const { zombie, positions } = await stalled();
    await zombie.save(1);
    const next = positions.open('near');
    await next.late([{ topic: 't', id: 'B' }]);
    await next.save(2);
    expect(await hasB(positions)).toBe(false);
  });
});
