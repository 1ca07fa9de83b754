import { AcceptedAcks } from '../../src/mailbox/accepted-acks';
import { RetryableError } from '../../src/base/errors';
import { acked, PassWorld } from './pass-world';
import { MemoryState } from './simulation/state';

const all = ['A', 'B', 'C'];

describe('accepted acknowledgements', () => {
  /** Those of A, B and C that are known for the reader. */
  const knownTo = async (acks: AcceptedAcks, reader: string | null): Promise<string[]> => {
    const isKnown = await acks.known(all.map((id) => ({ id, reader })));
    return all.filter((id) => isKnown(id, reader));
  };

  it.each(['two', 'x'.repeat(65_535)])('are known by message, or by message and client (example %#)', async (clientid) => {
    const acks = new AcceptedAcks(null);
    await acks.note('A', null);
    await acks.note('B', 'one');
    await acks.note('B', clientid);
    expect([acks.has('A', null), acks.has('A', 'one'), acks.has('B', null), acks.has('B', 'one'), acks.has('B', clientid)]).toEqual([
      true,
      false,
      false,
      true,
      true,
    ]);
    expect([await knownTo(acks, null), await knownTo(acks, clientid)]).toEqual([['A'], ['B']]);
  });

  it('above the limit are forgotten, the oldest first', async () => {
    const acks = new AcceptedAcks(null, 10);
    for (let i = 0; i < 25; i++) await acks.note(String(i), 'c');
    expect(Array.from({ length: 25 }, (_, i) => acks.has(String(i), 'c'))).toEqual(Array.from({ length: 25 }, (_, i) => i >= 10));
  });

  // Two servers on one queue: the one that delivers is not the one that EMQX told.
  it('of other processes stay known until 30 s after they are settled', async () => {
    let now = 1_000;
    const state = new MemoryState(() => now);
    const [one, other] = [new AcceptedAcks(state), new AcceptedAcks(state)];
    await Promise.all([one.note('A', null), one.note('B', 'c')]);
    expect([await knownTo(other, null), await knownTo(other, 'c')]).toEqual([['A'], ['B']]);
    // The store is slow: they wait.
    now += 20 * 60_000;
    expect(await knownTo(other, null)).toEqual(['A']);
    await other.settled([{ id: 'A', reader: null }]);
    // A delivery that read the message before its removal asks now.
    now += 20_000;
    expect(await knownTo(other, null)).toEqual(['A']);
    now += 20_000;
    expect([await knownTo(other, null), await knownTo(other, 'c'), await knownTo(one, null)]).toEqual([[], ['B'], ['A']]);
  });

  it('that arrive after the question are known, too', async () => {
    const state = new MemoryState(() => 1);
    const acks = new AcceptedAcks(state);
    const isKnown = await acks.known([{ id: 'A', reader: null }]);
    expect(isKnown('A', null)).toBe(false);
    await acks.note('A', null);
    expect(isKnown('A', null)).toBe(true);
  });

  it('of many readers are read from the shared state in one request', async () => {
    let asked = 0;
    const state = new MemoryState(() => 1);
    const counting = { setAll: state.setAll.bind(state), getAll: (keys: readonly string[]) => (asked++, state.getAll(keys)) };
    await new AcceptedAcks(counting).known(
      all.flatMap((id) => [
        { id, reader: null },
        { id, reader: 'c' },
        { id, reader: 'd' },
      ]),
    );
    expect(asked).toBe(1);
  });

  // In pubsub mode the store has them when the position is saved, not when their write is done. The guard is the order in MailPass.handlePart.
  describe('of a reader', () => {
    const read = acked('c', 'A', 't', { isRead: true });
    function subject() {
      const calls: unknown[] = [];
      const world: PassWorld = new PassWorld({ mode: 'pubsub' }, ({ store }) => ({
        acks: { known: async () => () => false, settled: async (acks) => void (acks.length > 0 && calls.push(['settled', ...acks])) },
        store: Object.assign(store, { putPositions: async () => void calls.push('position') }),
      }));
      world.store.subscriptions.push({ clientid: 'c', topic: 't', qos: 1 });
      return { world, calls };
    }

    it('are settled after its read position is saved', async () => {
      const { world, calls } = subject();
      expect(await world.handle([read])).toEqual([]);
      expect(calls).toEqual(['position', ['settled', { id: 'A', reader: 'c' }]]);
    });

    it('are not settled when its read position could not be saved', async () => {
      const { world, calls } = subject();
      world.store.putPositions = async () => {
        throw new RetryableError('the store refuses it');
      };
      expect(await world.handle([read])).toHaveLength(1);
      expect(calls).toEqual([]);
    });
  });
});
