import { Registry } from 'prom-client';
import { keptOldest, registerBacklogGauges, registerDependencyGauge, registerGauges, type GaugeSources } from '../../src/ops/gauges';

const lane = { name: 'messages-0', waiting: 7, active: 1, delayed: 2 };

/** Differs from one scrape to the next. */
const MEMORY = 'emqx_offline_anonymous_memory_bytes';

async function scraped(sources: Partial<GaugeSources>): Promise<string[]> {
  const registry = new Registry();
  registerGauges(
    registry,
    {
      lanes: async () => [lane],
      deadLetters: async () => 3,
      waiting: () => ({ items: 4, bytes: 500 }),
      working: () => [
        { name: 'clients-0', since: NOW - 2_500 },
        { name: 'clients-1', since: null },
      ],
      ...sources,
    },
    () => NOW,
  );
  return (await registry.metrics()).split('\n').filter((line) => line.startsWith('emqx_offline_') && !line.startsWith(MEMORY));
}

const NOW = 1_000_000;
const BATCHES = ['emqx_offline_lane_batch_age_seconds{lane="clients-0"} 2.5', 'emqx_offline_lane_batch_age_seconds{lane="clients-1"} 0'];
const REST = ['emqx_offline_ingest_waiting_events 4', 'emqx_offline_ingest_waiting_bytes 500'];

test('the metrics have the jobs of the lanes and the dead letters', async () => {
  const lanes = ['waiting"} 7', 'active"} 1', 'delayed"} 2'].map((end) => `emqx_offline_lane_jobs{lane="messages-0",state="${end}`);
  expect(await scraped({})).toEqual([...lanes, ...BATCHES, 'emqx_offline_dead_letters 3', ...REST]);
});

// Without the guard /metrics is a 500, or hangs, just when one wants to look at it.
test.each([
  ['fails', () => Promise.reject(new Error('away'))],
  ['hangs', () => new Promise<never>(() => undefined)],
])('a queue that %s removes only its own metrics', async (_name, away) => {
  expect(await scraped({ lanes: away, deadLetters: away })).toEqual([...BATCHES, 'emqx_offline_dead_letters Nan', ...REST]);
});

// Linux alone tells it.
(process.platform === 'linux' ? test : test.skip)('the memory that the kernel cannot take back is less than what is resident', async () => {
  const registry = new Registry();
  registerGauges(registry, {
    lanes: async () => [],
    deadLetters: async () => 0,
    waiting: () => ({ items: 0, bytes: 0 }),
    working: () => [],
  });
  const value = Number(new RegExp(`^${MEMORY} (\\d+)`, 'm').exec(await registry.metrics())?.[1]);
  expect(value).toBeGreaterThan(10 * 1_024 * 1_024);
  expect(value).toBeLessThan(process.memoryUsage().rss);
});

const sample = async (registry: Registry, name: string): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith(name));

describe('the backlog of the store', () => {
  const names = 'emqx_offline_';
  type Backlog = Parameters<typeof registerBacklogGauges>[1];
  const scraping = (store: Backlog, now: () => number): (() => Promise<string[]>) => {
    const registry = new Registry();
    registerBacklogGauges(registry, { ...store, oldestMessageAt: keptOldest(store, now) }, now);
    return () => sample(registry, names);
  };

  test('is read at most every 15 s, for any number of scrapes', async () => {
    let now = NOW;
    const countMessages = jest.fn(async () => 42);
    const oldestMessageAt = jest.fn(async (): Promise<number | null> => NOW - 60_000);
    const scrape = scraping({ countMessages, oldestMessageAt }, () => now);
    const [first] = await Promise.all([scrape(), scrape()]);
    expect(first).toEqual(['emqx_offline_stored_messages 42', 'emqx_offline_oldest_message_age_seconds 60']);
    now += 14_999;
    // The age grows although nobody asks.
    expect(await scrape()).toEqual(['emqx_offline_stored_messages 42', 'emqx_offline_oldest_message_age_seconds 74.999']);
    expect(countMessages.mock.calls).toHaveLength(1);
    now += 1;
    oldestMessageAt.mockResolvedValue(null);
    expect(await scrape()).toEqual(['emqx_offline_stored_messages 42', 'emqx_offline_oldest_message_age_seconds 0']);
    expect(countMessages.mock.calls).toHaveLength(2);
  });

  test('has an oldest message that all readers share, and that is read at once where nothing was stored', async () => {
    const oldestMessageAt = jest.fn(async (): Promise<number | null> => null);
    const shared = keptOldest({ oldestMessageAt }, () => NOW);
    expect(await shared()).toBeNull();
    oldestMessageAt.mockResolvedValue(NOW - 1);
    expect(await Promise.all([shared(), shared()])).toEqual([NOW - 1, NOW - 1]);
    expect(await shared()).toBe(NOW - 1);
    expect(oldestMessageAt.mock.calls).toHaveLength(2);
  });

  test('is read less often when the answer takes long', async () => {
    let now = NOW;
    const countMessages = jest.fn(async () => {
      now += 2_000;
      return 1;
    });
    const scrape = scraping({ countMessages, oldestMessageAt: async () => null }, () => now);
    await scrape();
    now += 39_999;
    await scrape();
    expect(countMessages.mock.calls).toHaveLength(1);
    now += 1;
    await scrape();
    expect(countMessages.mock.calls).toHaveLength(2);
  });

  test('is unknown during an outage of the store', async () => {
    const countMessages = jest.fn(async () => 7);
    countMessages.mockRejectedValueOnce(new Error('away'));
    const scrape = scraping({ countMessages, oldestMessageAt: () => Promise.reject(new Error('away')) }, () => NOW);
    expect(await scrape()).toEqual(['emqx_offline_stored_messages Nan', 'emqx_offline_oldest_message_age_seconds Nan']);
    expect(await scrape()).toEqual(['emqx_offline_stored_messages 7', 'emqx_offline_oldest_message_age_seconds Nan']);
  });
});

test('each dependency is up or down, and checked at most every 5 s', async () => {
  let now = NOW;
  const registry = new Registry();
  const check = (name: string, ok: boolean) => ({ name, ok, detail: '' });
  const readiness = jest.fn(async () => [
    check('store', true),
    check('emqx', false),
    check('history influxdb', true),
    check('events', true),
  ]);
  registerDependencyGauge(registry, readiness, () => now);
  const expected = ['store"} 1', 'emqx"} 0', 'history influxdb"} 1'].map((end) => `emqx_offline_dependency_up{dependency="${end}`);
  expect(await sample(registry, 'emqx_offline_')).toEqual(expected);
  now += 4_999;
  await registry.metrics();
  expect(readiness.mock.calls).toHaveLength(1);
  now += 1;
  readiness.mockResolvedValue([check('store', false)]);
  expect(await sample(registry, 'emqx_offline_')).toEqual(['emqx_offline_dependency_up{dependency="store"} 0']);
});
