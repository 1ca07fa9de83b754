import { Registry } from 'prom-client';
import { registerGauges, type GaugeSources } from '../../src/ops/gauges';

const lane = { name: 'messages-0', waiting: 7, active: 1, delayed: 2 };

/** Differs from one scrape to the next. */
const MEMORY = 'emqx_offline_anonymous_memory_bytes';

async function scraped(sources: Partial<GaugeSources>): Promise<string[]> {
  const registry = new Registry();
  registerGauges(registry, {
    lanes: async () => [lane],
    deadLetters: async () => 3,
    waiting: () => ({ items: 4, bytes: 500 }),
    ...sources,
  });
  return (await registry.metrics()).split('\n').filter((line) => line.startsWith('emqx_offline_') && !line.startsWith(MEMORY));
}

const REST = ['emqx_offline_ingest_waiting_events 4', 'emqx_offline_ingest_waiting_bytes 500'];

test('the backlog is in the metrics', async () => {
  const lanes = ['waiting"} 7', 'active"} 1', 'delayed"} 2'].map((end) => `emqx_offline_lane_jobs{lane="messages-0",state="${end}`);
  expect(await scraped({})).toEqual([...lanes, 'emqx_offline_dead_letters 3', ...REST]);
});

// Without the guard /metrics is a 500, or hangs, just when one wants to look at it.
test.each([
  ['fails', () => Promise.reject(new Error('away'))],
  ['hangs', () => new Promise<never>(() => undefined)],
])('a queue that %s takes only its own metrics with it', async (_name, away) => {
  expect(await scraped({ lanes: away, deadLetters: away })).toEqual(['emqx_offline_dead_letters Nan', ...REST]);
});

// Linux alone tells it.
(process.platform === 'linux' ? test : test.skip)('the memory that the kernel cannot take back is less than what is resident', async () => {
  const registry = new Registry();
  registerGauges(registry, { lanes: async () => [], deadLetters: async () => 0, waiting: () => ({ items: 0, bytes: 0 }) });
  const value = Number(new RegExp(`^${MEMORY} (\\d+)`, 'm').exec(await registry.metrics())?.[1]);
  expect(value).toBeGreaterThan(10 * 1_024 * 1_024);
  expect(value).toBeLessThan(process.memoryUsage().rss);
});
