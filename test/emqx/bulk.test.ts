import { RetryableError } from '../../src/base/errors';
import type { Answer, SeenRequest } from './stub';
import { Stubbed } from './stubbed';

const NOT_FOUND = { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };
const ONE = { topic: 't/1', qos: 1 } as const;
const SHARED = { topic: '$share/g/t/#', qos: 2 } as const;
const many = (count: number, topic = 't') => Array.from({ length: count }, (_, i) => ({ topic: `${topic}/${i}`, qos: 1 as const }));
const entries = ({ json }: SeenRequest) => json as { topic: string }[];

const on = new Stubbed();
const start = async (...script: Answer[]) => (await on.start(...script)).emqx;

test('subscribeAll sends even one subscription, or shared ones, as a bulk', async () => {
  const emqx = await start({ status: 200, body: [] });
  expect(await emqx.subscribeAll('dev/a+1', [{ ...ONE, clientid: 'dev/a+1' } as typeof ONE])).toEqual({ connected: true, refused: [] });
  await emqx.subscribeAll('c', [ONE, SHARED]);
  expect(on.stub.seen).toMatchObject([{ method: 'POST', path: '/api/v5/clients/dev%2Fa%2B1/subscribe/bulk' }, { json: [ONE, SHARED] }]);
  expect(on.stub.seen[0]?.json).toEqual([ONE]);
});

test('subscribeAll and unsubscribeAll send no request for an empty list', async () => {
  const emqx = await start({ status: 500 });
  expect(await emqx.subscribeAll('c', [])).toEqual({ connected: true, refused: [] });
  expect(await emqx.unsubscribeAll('c', [])).toBe('unsubscribed');
  expect(on.stub.seen).toEqual([]);
});

test('thousands of subscriptions are sent once each, in requests of limited size', async () => {
  const emqx = await start({ status: 200, body: [] });
  const subscriptions = [...many(2_300), ...many(40, 'x'.repeat(60_000))];
  await emqx.subscribeAll('c', subscriptions);
  expect(on.stub.seen.flatMap(entries)).toEqual(subscriptions);
  for (const request of on.stub.seen) {
    expect(entries(request).length).toBeLessThanOrEqual(500);
    expect(request.text.length).toBeLessThanOrEqual(1024 * 1024 + 1);
  }
  await emqx.unsubscribeAll(
    'c',
    many(501).map(({ topic }) => topic),
  );
  expect(on.stub.seen.slice(-2).map((request) => [request.path, entries(request).length])).toEqual([
    ['/api/v5/clients/c/unsubscribe/bulk', 500],
    ['/api/v5/clients/c/unsubscribe/bulk', 1],
  ]);
});

test('a client that disconnects between two requests ends the sequence', async () => {
  const emqx = await start({ status: 200, body: [] }, NOT_FOUND);
  expect(await emqx.subscribeAll('c', many(1_500))).toEqual({ connected: false, refused: [] });
  expect(on.stub.seen).toHaveLength(2);
  expect(await emqx.unsubscribeAll('c', ['t'])).toBe('not-connected');
  expect(on.client.pauses).toEqual([]);
});

test.each([
  ['the whole bulk with 400', () => ({ status: 400, body: { code: 'BAD_REQUEST', message: 'bad' } })],
  [
    'the entry inside a 200',
    () => ({ status: 200, body: { succeed: [], failed: [{ data: ['c', 'bad', {}], reason: 'invalid_topic_filter' }] } }),
  ],
  [
    'the entry as early 5.0 says it',
    () => ({ status: 200, body: { success: 0, failed: 1, detail: [{ data: ['c', 'bad', {}], reason: 'invalid_topic_filter' }] } }),
  ],
])('a subscription that EMQX rejects is reported and the others are made: %s', async (_, refusal) => {
  const made: string[] = [];
  const emqx = await start((request) => {
    const topics = entries(request).map(({ topic }) => topic);
    if (topics.includes('bad')) return refusal();
    made.push(...topics);
    return { status: 200, body: [] };
  });
  const bad = { topic: 'bad', qos: 0 } as const;
  const { connected, refused } = await emqx.subscribeAll('c', [...many(5), bad, ...many(5, 'u')]);
  expect([connected, refused.map(({ subscription }) => subscription)]).toEqual([true, [bad]]);
  expect(made).toEqual([...many(5), ...many(5, 'u')].map(({ topic }) => topic));
  expect(on.client.pauses).toEqual([]);
});

test('a partially failed bulk is retried, and a lasting failure is a RetryableError', async () => {
  const failed = [{ data: ['c', 't/1', {}], reason: 'timeout' }];
  const emqx = await start({ status: 200, body: { succeed: [], failed } }, { status: 200, body: [] }, { status: 503, body: 'away' });
  expect(await emqx.subscribeAll('c', [ONE])).toEqual({ connected: true, refused: [] });
  expect(on.client.pauses).toEqual([200]);
  await expect(emqx.subscribeAll('c', [ONE])).rejects.toThrow(RetryableError);
  await expect(emqx.unsubscribeAll('c', ['t'])).rejects.toThrow(RetryableError);
});

test('a 404 without CLIENTID_NOT_FOUND is reported as a wrong EMQX_URL', async () => {
  const emqx = await start({ status: 404, body: { code: 'NOT_FOUND' } });
  await expect(emqx.subscribeAll('c', [ONE])).rejects.toThrow(/^EMQX_URL: .* answered 404/);
  await expect(emqx.unsubscribeAll('c', ['t'])).rejects.toThrow(/^EMQX_URL: .* answered 404/);
});
