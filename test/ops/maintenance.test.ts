import type { Policy } from '../../src/config/policies';
import { createLogger } from '../../src/base/log';
import { Maintenance, type MaintenanceDeps } from '../../src/ops/maintenance';
import { createMetrics } from '../../src/base/metrics';
import { policy } from '../support/policies';

const DAY_MS = 86_400_000;

/** A store with rows that are due, and the shared state with expired leases. */
function subject(
  due: Partial<Record<'messages' | 'tombstones' | 'leases' | 'positions' | 'subscriptions' | 'states' | 'read', number>>,
  policies: readonly Policy[] = [],
) {
  const left = { messages: 0, tombstones: 0, leases: 0, positions: 0, subscriptions: 0, states: 0, read: 0, ...due };
  const calls: string[] = [];
  const metrics = createMetrics();
  const take = (kind: keyof typeof left, limit: number) => {
    const removed = Math.min(limit, left[kind]);
    left[kind] -= removed;
    return { removed, more: removed === limit };
  };
  const purge = (kind: keyof typeof left) => async (before: unknown, limit: number) => {
    calls.push(`${kind} ${JSON.stringify(before)}`);
    return take(kind, limit);
  };
  const deps: MaintenanceDeps = {
    store: {
      purgeExpired: async (_now, limit) => {
        calls.push(`expired ${limit}`);
        const tombstones = take('tombstones', limit);
        const messages = take('messages', limit);
        return { removed: messages.removed, more: messages.more || tombstones.more };
      },
      purgePositions: purge('positions'),
      purgeSubscriptions: purge('subscriptions'),
      purgeClientStates: purge('states'),
    },
    state: { purge: async (limit) => take('leases', limit).more },
    letters: { purge: async () => 0 },
    readPurger: { run: async () => take('read', 10_000) },
    trimmer: {
      sweep: async () => {
        calls.push('sweep');
      },
    },
    policies,
    metrics,
    log: createLogger({ level: 'silent' }),
    now: () => 1_000 * DAY_MS,
  };
  return { maintenance: new Maintenance(deps), deps, left, calls, metrics };
}

describe('maintenance', () => {
  it('purges expired messages in limited steps, and counts them', async () => {
    const { maintenance, left, calls, metrics } = subject({ messages: 10_500, leases: 60_000 });
    await maintenance.run();
    expect(left).toMatchObject({ messages: 0, leases: 0 });
    expect(calls.filter((call) => call.startsWith('expired'))).toEqual(Array(11).fill('expired 1000'));
    for (const counter of [metrics.messagesExpired, metrics.messagesRemoved]) expect((await counter.get()).values[0]?.value).toBe(10_500);
  });

  // The guard is `more`, which tells of tombstones, too: 1,000 a minute would be 16 acknowledgements a second, and the rest would pile up.
  it('purges all expired tombstones in one run', async () => {
    const { maintenance, left } = subject({ tombstones: 30_000 });
    await maintenance.run();
    expect(left.tombstones).toBe(0);
  });

  it('purges old positions, subscriptions and client states in one run', async () => {
    const { maintenance, left } = subject({ positions: 5_500, subscriptions: 3_000, states: 1_001 });
    await maintenance.run();
    expect(left).toMatchObject({ positions: 0, subscriptions: 0, states: 0 });
  });

  it('removes all messages in one run that every consumer has read', async () => {
    const { maintenance, left, metrics } = subject({ read: 45_000 });
    await maintenance.run();
    expect(left.read).toBe(0);
    expect((await metrics.messagesRemoved.get()).values[0]?.value).toBe(45_000);
  });

  it('makes one call of each kind when nothing is due', async () => {
    const { maintenance, calls } = subject({});
    await maintenance.run();
    expect(calls).toEqual([
      'expired 1000',
      'sweep',
      `subscriptions ${986 * DAY_MS}`,
      `states ${JSON.stringify({ disconnected: 986 * DAY_MS, connected: 634 * DAY_MS })}`,
      `positions ${986 * DAY_MS}`,
    ]);
  });

  it('keeps positions for twice the longest ttl when that is over 14 days', async () => {
    const { maintenance, calls } = subject({}, [policy({ ttlMs: 30 * DAY_MS }), policy({ ttlMs: 1_000 })]);
    await maintenance.run();
    expect(calls).toContain(`positions ${940 * DAY_MS}`);
  });

  it('ends when the server stops', async () => {
    const { maintenance, left } = subject({ messages: 1e9 });
    const running = maintenance.run();
    await maintenance.stop();
    await running;
    expect(left.messages).toBeGreaterThan(0);
  });

  // The guard is READ_MS: on a store with more to remove than a minute allows, nothing else would ever be purged.
  it('leaves what everybody has read for the next run when removing it takes long', async () => {
    const { deps, left } = subject({ read: 1e9, positions: 10 });
    const now = performance.now.bind(performance);
    let passed = 0;
    const spy = jest.spyOn(performance, 'now').mockImplementation(() => now() + passed);
    const run = async () => {
      passed += 10_000;
      if (passed > 600_000) throw new Error('the run goes on for ever');
      return deps.readPurger.run();
    };
    try {
      await new Maintenance({ ...deps, readPurger: { run } }).run();
    } finally {
      spy.mockRestore();
    }
    expect([left.positions, passed]).toEqual([0, 40_000]);
  });

  // The guard is `running` in start(): runs that take longer than a minute would pile up.
  it('begins no run before the last one has ended', async () => {
    jest.useFakeTimers();
    try {
      const { deps } = subject({});
      const ends: (() => void)[] = [];
      const sweep = () => new Promise<void>((resolve) => ends.push(resolve));
      const maintenance = new Maintenance({ ...deps, trimmer: { sweep } });
      maintenance.start();
      await jest.advanceTimersByTimeAsync(200_000);
      expect(ends).toHaveLength(1);
      ends[0]?.();
      await jest.advanceTimersByTimeAsync(60_000);
      expect(ends).toHaveLength(2);
      ends[1]?.();
      await maintenance.stop();
    } finally {
      jest.useRealTimers();
    }
  });

  it('continues with the other purges when one fails', async () => {
    const { deps, left } = subject({ positions: 10, leases: 10 });
    const store = { ...deps.store, purgeExpired: () => Promise.reject(new Error('away')) };
    await new Maintenance({ ...deps, store }).run();
    expect(left).toMatchObject({ positions: 0, leases: 0 });
  });
});
