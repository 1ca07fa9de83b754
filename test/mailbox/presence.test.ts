import { stateAfter, type ConnectionChange } from '../../src/mailbox/clients/presence';
import type { ClientState } from '../../src/stores/store';

const connected = (at: number, node: string | null = 'n1'): ConnectionChange => ({ kind: 'connected', clientid: 'c', node, at });
const disconnected = (connectedAt: number | null, at: number, node: string | null = 'n1'): ConnectionChange => ({
  kind: 'disconnected',
  clientid: 'c',
  node,
  connectedAt,
  at,
});
const after = (...changes: ConnectionChange[]) => changes.reduce<ClientState | null>(stateAfter, null)!;
const view = ({ connected: is, node, connectedAt, disconnectedAt }: ClientState) => [is, node, connectedAt, disconnectedAt];

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) => permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]));
}

describe('a client’s state', () => {
  it.each<[string, ConnectionChange[], unknown[]]>([
    ['one connection that is open', [connected(10)], [true, 'n1', 10, null]],
    ['one connection that has ended', [connected(10), disconnected(10, 20)], [false, 'n1', 10, 20]],
    ['a connection that ended in the millisecond in which it began', [connected(10), disconnected(10, 10)], [false, 'n1', 10, 10]],
    ['a second connection', [connected(10), disconnected(10, 20), connected(30)], [true, 'n1', 30, 20]],
    // The guard is endsCurrent: by the events' own times the end of the first one is the newest event.
    [
      'a takeover by another node, with the old connection ended later',
      [connected(10), connected(30, 'n2'), disconnected(10, 35)],
      [true, 'n2', 30, 35],
    ],
    ['a takeover in the same millisecond', [connected(10), disconnected(10, 30), connected(30)], [true, 'n1', 30, 30]],
    [
      'three connections, the last of which has ended',
      [connected(10), disconnected(10, 31), connected(30, 'n2'), disconnected(30, 41, 'n2'), connected(40), disconnected(40, 50)],
      [false, 'n1', 40, 50],
    ],
  ])('is the same in every order of events, repeated or not: %s', (_, changes, expected) => {
    for (const order of permutations(changes)) {
      expect(view(after(...order))).toEqual(expected);
      expect(view(after(...order, ...order))).toEqual(expected);
    }
  });

  it('distinguishes connections of one millisecond by their nodes', () => {
    expect(view(after(connected(10, 'n1'), connected(10, 'n2'), disconnected(10, 11, 'n1')))).toEqual([true, 'n2', 10, 11]);
    expect(view(after(connected(10, 'n1'), disconnected(10, 11, 'n1'), connected(10, 'n2')))).toEqual([true, 'n2', 10, 11]);
  });

  it('uses the time of the disconnect when the event names no connection', () => {
    expect(view(after(connected(10), disconnected(null, 20)))).toEqual([false, 'n1', 10, 20]);
    expect(view(after(connected(30), disconnected(null, 20)))).toEqual([true, 'n1', 30, 20]);
    expect(view(after(disconnected(null, 20), connected(30)))).toEqual([true, 'n1', 30, 20]);
    expect(view(after(disconnected(null, 20), connected(10)))).toEqual([false, 'n1', null, 20]);
    // At once again rather than there for no time.
    for (const order of permutations([connected(20), disconnected(null, 20)])) expect(after(...order).connected).toBe(true);
  });

  it('never has an older time than the state before it', () => {
    for (const order of permutations([connected(10), disconnected(10, 35), connected(30), disconnected(30, 40)])) {
      let at = 0;
      for (let i = 1; i <= order.length; i++) {
        const state = after(...order.slice(0, i));
        expect(state.at).toBeGreaterThanOrEqual(at);
        at = state.at;
      }
    }
  });
});
