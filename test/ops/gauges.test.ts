import { Registry } from 'prom-client';
import { registerGauges, type GaugeSources } from '../../src/ops/gauges';

const lane = { name: 'messages-0', waiting: 7, active: 1, delayed: 2 };

async function scraped(sources: Partial<GaugeSources>): Promise<string[]> {
  const registry = new Registry();
  registerGauges(registry, { lanes: async () => [lane], deadLetters: async () => 3, waiting: () => ({ items: 4, bytes: 500 }), ...sources });
  return (await registry.metrics()).split('\n').filter((line) => line.startsWith('emqx_offline_'));
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
