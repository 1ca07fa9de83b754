import { createLogger } from '../../src/ops/log';
import { Maintenance } from '../../src/ops/maintenance';
import { createMetrics } from '../../src/ops/metrics';

/** A store with expired messages and tombstones, and the shared state with expired leases. */
function subject(expired: { messages?: number; tombstones?: number; leases?: number }) {
  const left = { messages: 0, tombstones: 0, leases: 0, ...expired };
  const calls: number[] = [];
  const metrics = createMetrics();
  const take = (kind: keyof typeof left, limit: number) => {
    const taken = Math.min(limit, left[kind]);
    left[kind] -= taken;
    return taken;
  };
  const maintenance = new Maintenance({
    store: {
      purgeExpired: async (_now, limit) => {
        calls.push(limit);
        take('tombstones', limit);
        return take('messages', limit);
      },
    },
    state: { purge: async (limit) => take('leases', limit) === limit },
    letters: { purge: async () => 0 },
    readPurger: { run: async () => 0 },
    vacuum: async () => undefined,
    metrics,
    log: createLogger({ level: 'silent' }),
    now: () => 0,
  });
  return { maintenance, left, calls, metrics };
}

describe('maintenance', () => {
  it('purges what has expired in bounded steps, and counts it', async () => {
    const { maintenance, left, calls, metrics } = subject({ messages: 10_500, leases: 60_000 });
    await maintenance.run();
    expect(left).toEqual({ messages: 0, tombstones: 0, leases: 0 });
    expect(calls).toEqual(Array(11).fill(1_000));
    for (const counter of [metrics.messagesExpired, metrics.messagesRemoved]) expect((await counter.get()).values[0]?.value).toBe(10_500);
  });

  // The guard is `least` in purgeStore: 1,000 a minute would be 16 acknowledgements a second, and the rest would pile up.
  it('keeps up with tombstones, of which a purge does not tell', async () => {
    const { maintenance, left, metrics } = subject({ tombstones: 30_000 });
    metrics.acksApplied.inc(15_000);
    await maintenance.run();
    expect(left.tombstones).toBe(0);
  });

  it('costs one purge when nothing has happened', async () => {
    const { maintenance, calls, metrics } = subject({});
    metrics.acksApplied.inc(10);
    await maintenance.run();
    await maintenance.run();
    expect(calls).toHaveLength(2);
  });

  it('ends when the server stops, and survives a store that is away', async () => {
    const { maintenance, left } = subject({ messages: 1e9 });
    const running = maintenance.run();
    await maintenance.stop();
    await running;
    expect(left.messages).toBeGreaterThan(0);
    const away = new Maintenance({
      store: { purgeExpired: () => Promise.reject(new Error('away')) },
      state: { purge: async () => false },
      letters: { purge: async () => 0 },
      readPurger: { run: async () => 0 },
      ...{ vacuum: async () => undefined, metrics: createMetrics(), log: createLogger({ level: 'silent' }), now: () => 0 },
    });
    await away.run();
  });
});
