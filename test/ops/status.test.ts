import { createMetrics } from '../../src/base/metrics';
import { UnavailableError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import { Rates } from '../../src/ops/rates';
import { stats, type StatsDeps } from '../../src/ops/status';

const away = (text: string) => () => Promise.reject(new UnavailableError(text));

function statsWith(fields: Partial<StatsDeps>) {
  return stats({
    store: { countMessages: async () => 3, oldestMessageAt: async () => 5 },
    lanes: () => ({ counts: async () => [{ name: 'm', waiting: 1, active: 0, delayed: 0 }] }),
    letters: () => ({ count: async () => 2 }),
    rates: new Rates(createMetrics(), () => 1_000),
    version: '0.1.0',
    startedAt: 1_000,
    now: 62_500,
    hide: (text) => text.replace('secret', '***'),
    ...fields,
  });
}

test('the stats have the numbers of the store and the queue', async () => {
  expect(await statsWith({})).toMatchObject({
    ...{ version: '0.1.0', uptime_s: 61, messages: 3, oldest_message_at: 5, dead_letters: 2, problems: [] },
    lanes: [{ name: 'm', waiting: 1, active: 0, delayed: 0 }],
  });
});

test('the stats of the queue are shown during an outage of the store, and vice versa', async () => {
  const withoutStore = await statsWith({ store: { countMessages: away('secret: no answer'), oldestMessageAt: away('secret: no answer') } });
  expect(withoutStore).toMatchObject({ messages: null, oldest_message_at: null, dead_letters: 2, lanes: [{ name: 'm' }] });
  expect(withoutStore.problems).toEqual([{ name: 'store', detail: '***: no answer' }]);
  const starting = () => {
    throw new UnavailableError('waiting for the queue');
  };
  const withoutQueue = await statsWith({ lanes: starting, letters: starting });
  expect(withoutQueue).toMatchObject({ messages: 3, dead_letters: null, lanes: null });
  expect(withoutQueue.problems).toEqual([{ name: 'queue', detail: expect.stringContaining('waiting for the queue') }]);
  for (const answer of [withoutStore, withoutQueue]) expect(contract.validator('#/components/schemas/Stats')(answer)).toEqual([]);
});
