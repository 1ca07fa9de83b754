import { AcceptedAcks } from '../../src/mailbox/accepted-acks';
import { Reading } from '../../src/mailbox/positions/reading';
import { policy } from '../support/policies';
import { MemoryState } from './simulation/state';

describe('accepted acknowledgements', () => {
  it.each(['two', 'x'.repeat(65_535)])('are known by message, or by message and client', async (clientid) => {
    const acks = new AcceptedAcks(null);
    await acks.note('A', null);
    await acks.note('B', 'one');
    await acks.note('B', clientid);
    expect([acks.has('A', null), acks.has('A', 'one'), acks.has('B', null), acks.has('B', 'one'), acks.has('B', clientid)]).toEqual([true, false, false, true, true]);
    expect(await acks.known(['A', 'B', 'C'], null)).toEqual(new Set(['A']));
    expect(await acks.known(['A', 'B', 'C'], clientid)).toEqual(new Set(['B']));
  });

  it('are bounded: the oldest go', async () => {
    const acks = new AcceptedAcks(null, 10);
    for (let i = 0; i < 25; i++) await acks.note(String(i), 'c');
    expect(Array.from({ length: 25 }, (_, i) => acks.has(String(i), 'c'))).toEqual(Array.from({ length: 25 }, (_, i) => i >= 10));
  });

  // Two servers on one queue: the one that delivers is not the one that EMQX told.
  it('of other processes are known until they are settled, and a little longer', async () => {
    let now = 1_000;
    const state = new MemoryState(() => now);
    const [one, other] = [new AcceptedAcks(state), new AcceptedAcks(state)];
    await Promise.all([one.note('A', null), one.note('B', 'c')]);
    expect(await other.known(['A', 'B', 'C'], null)).toEqual(new Set(['A']));
    expect(await other.known(['A', 'B', 'C'], 'c')).toEqual(new Set(['B']));
    // The store is slow: they wait.
    now += 20 * 60_000;
    expect(await other.known(['A'], null)).toEqual(new Set(['A']));
    await other.settled([{ id: 'A', reader: null }]);
    // Whoever read the message before it was removed asks now.
    now += 20_000;
    expect(await other.known(['A'], null)).toEqual(new Set(['A']));
    now += 20_000;
    expect(await other.known(['A'], null)).toEqual(new Set());
    expect(await other.known(['B'], 'c')).toEqual(new Set(['B']));
    expect(await one.known(['A'], null)).toEqual(new Set(['A']));
  });

  // In pubsub mode the store has them when the position has moved, not when their write is done.
  it('of a reader are settled behind its position', async () => {
    const calls: unknown[] = [];
    const position = async (...of: unknown[]) => void calls.push(['read', of[0]]);
    const reading = new Reading({
      positions: { read: position, subscribed: async () => undefined, late: async () => undefined, forget: async () => undefined },
      acks: { settled: async (acks) => void calls.push(['settled', ...acks]) },
      store: { putSubscriptions: async () => undefined, listSubscriptions: async () => [{ clientid: 'c', topic: 't', qos: 1 }] },
      state: { get: async () => null },
      lanes: { progress: async () => undefined },
      policies: [policy({ mode: 'pubsub' })],
      now: () => 0,
    });
    await reading.handle({ name: 'progress', data: { acks: [{ clientid: 'c', id: 'A', topic: 't', ours: true }] } });
    expect(calls).toEqual([['read', 'c'], ['settled', { id: 'A', reader: 'c' }]]);
  });
});
