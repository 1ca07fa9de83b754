import request, { type Response } from 'supertest';
import { RetryableError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import type { components } from '../../src/contract/openapi';
import { Fakes, NOW, storedMessage } from './fakes';
import { expectProblem, paths } from './problems';

type Page = components['schemas']['MessagePage'];

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const get = (path: string, query: Record<string, string> = {}): Promise<Response> =>
  Promise.resolve(request(fakes.app()).get(`${path}?${new URLSearchParams(query).toString()}`));
const list = (query: Record<string, string> = {}) => get('/v1/messages', query);
const page = async (query: Record<string, string> = {}): Promise<Page> => {
  const response = await list(query);
  expect(response.status).toBe(200);
  expect(contract.validator('#/components/schemas/MessagePage')(response.body)).toEqual([]);
  return response.body as Page;
};
const ids = ({ messages }: Page): string[] => messages.map(({ id }) => id);

/** Follows `next` to the end. */
async function all(query: Record<string, string>): Promise<{ ids: string[]; pages: number }> {
  const found: string[] = [];
  for (let pages = 1, after: string | null = null; ; pages++) {
    const each: Page = await page(after === null ? query : { ...query, after });
    found.push(...ids(each));
    after = each.next;
    if (after === null) return { ids: found, pages };
  }
}

describe('GET /v1/messages', () => {
  test('promise 11: shows every byte and property of a message', async () => {
    fakes.messages = [
      storedMessage({
        id: 'A',
        topic: 't/1',
        username: 'u',
        qos: 2,
        retain: true,
        payload: Buffer.from([0, 0xff]),
        expiresAt: NOW + 1,
        properties: {
          contentType: 'a/b',
          responseTopic: 'r',
          correlationData: 'Af8=',
          payloadFormatIndicator: 0,
          messageExpiryInterval: 5,
          userProperties: [
            { key: 'b', value: '1' },
            { key: 'a', value: '2' },
            { key: 'b', value: '3' },
          ],
        },
      }),
      storedMessage({ id: 'B', topic: 't/1', payload: Buffer.from('漢字') }),
      storedMessage({ id: 'C', topic: 't/1', payload: Buffer.alloc(0) }),
    ];
    const { messages, next } = await page({ topic: 't/1' });
    expect(next).toBeNull();
    expect(messages[0]).toEqual({
      id: 'A',
      topic: 't/1',
      clientid: 'pub',
      username: 'u',
      qos: 2,
      retain: true,
      payload: 'AP8=',
      text: null,
      publish_received_at: 1000,
      expires_at: NOW + 1,
      properties: {
        content_type: 'a/b',
        response_topic: 'r',
        correlation_data: 'Af8=',
        payload_format_indicator: 0,
        message_expiry_interval: 5,
        user_properties: [
          { key: 'b', value: '1' },
          { key: 'a', value: '2' },
          { key: 'b', value: '3' },
        ],
      },
    });
    expect(messages[1]).toMatchObject({ text: '漢字', expires_at: null, username: null, properties: {} });
    expect(messages[2]).toMatchObject({ payload: '', text: '' });
  });

  test('lists messages by topic, by filter or all, sorted by topic and id', async () => {
    fakes.messages = ['b/1 3', 'a/1 4', 'a/1 2', '$SYS/x 5', 'a 6', 'b/1 1'].map((each) => {
      const [topic = '', id = ''] = each.split(' ');
      return storedMessage({ topic, id });
    });
    expect(ids(await page())).toEqual(['6', '2', '4', '1', '3']);
    expect(ids(await page({ topic: 'a/1' }))).toEqual(['2', '4']);
    expect(ids(await page({ filter: '+/1' }))).toEqual(['2', '4', '1', '3']);
    expect(ids(await page({ filter: 'a/#' }))).toEqual(['6', '2', '4']);
    expect(ids(await page({ filter: '$SYS/#' }))).toEqual(['5']);
    expect(ids(await page({ topic: '$SYS/x' }))).toEqual(['5']);
    expect(ids(await page({ topic: 'none' }))).toEqual([]);
  });

  test.each([1, 2, 3, 7, 20, 100])('shows each message once in pages of %i', async (limit) => {
    fakes.messages = Array.from({ length: 60 }, (_, i) => storedMessage({ id: String(i).padStart(3, '0'), topic: `t/${i % 3}` }));
    const filtered = await all({ filter: 't/+', limit: String(limit) });
    const expected = [...fakes.messages].sort((a, b) => (a.topic + a.id < b.topic + b.id ? -1 : 1)).map(({ id }) => id);
    expect(filtered.ids).toEqual(expected);
    expect(filtered.pages).toBe(Math.ceil(60 / limit));
    const exact = await all({ topic: 't/1', limit: String(limit) });
    expect(exact.ids).toEqual(expected.slice(20, 40));
    expect(exact.pages).toBe(Math.ceil(20 / limit));
  });

  test('ends a page of large payloads early', async () => {
    fakes.messages = Array.from({ length: 30 }, (_, i) =>
      storedMessage({ id: String(i).padStart(3, '0'), topic: 't', payload: Buffer.alloc(1_000_000) }),
    );
    const found = await all({ topic: 't', limit: '1000' });
    expect(found.ids).toHaveLength(30);
    expect(found.pages).toBe(4);
  });

  test('ends a page early after thousands of topics with expired messages', async () => {
    fakes.messages = Array.from({ length: 2500 }, (_, i) =>
      storedMessage({ id: `A${i}`, topic: `t/${String(i).padStart(4, '0')}`, expiresAt: 1 }),
    );
    fakes.messages.push(storedMessage({ id: 'Z', topic: 'u' }));
    expect(await page()).toMatchObject({ messages: [], next: expect.any(String) as string });
    expect((await all({})).ids).toEqual(['Z']);
  });

  test.each<[Record<string, string>, string]>([
    [{ topic: 'a/#' }, 'topic'],
    [{ topic: '' }, 'topic'],
    [{ filter: 'a#' }, 'filter'],
    [{ filter: '$share/g/t' }, 'filter'],
    [{ filter: 'a\0' }, 'filter'],
    [{ topic: 'a', filter: 'a' }, 'filter'],
    [{ limit: '0' }, 'limit'],
    [{ limit: '1001' }, 'limit'],
    [{ limit: '-1' }, 'limit'],
    [{ limit: '1.5' }, 'limit'],
    [{ limit: 'ten' }, 'limit'],
    [{ limit: '' }, 'limit'],
    [{ after: 'garbage' }, 'after'],
    [{ after: Buffer.from('null').toString('base64url') }, 'after'],
    [{ after: Buffer.from('{"topic":"a\\u0000","id":"A"}').toString('base64url') }, 'after'],
    [{ after: Buffer.from('{"topic":"a","id":5}').toString('base64url') }, 'after'],
    [{ topic: 'b', after: Buffer.from('{"topic":"a","id":"A"}').toString('base64url') }, 'after'],
    [{ filter: 'b/#', after: Buffer.from('{"topic":"a","id":"A"}').toString('base64url') }, 'after'],
    [{ topics: 'a' }, 'topics'],
  ])('answers %j with 400', async (query, path) => {
    const response = await list(query);
    expectProblem(response, 400, 'validation');
    expect(paths(response)).toEqual([path]);
  });

  test('answers a repeated parameter and a malformed percent-encoding with 400', async () => {
    expectProblem(await request(fakes.app()).get('/v1/messages?topic=a&topic=b'), 400, 'validation');
    expectProblem(await request(fakes.app()).get('/v1/messages?topic=%ff'), 400, 'malformed');
  });

  test('reads + in a query as a space', async () => {
    fakes.messages = [storedMessage({ id: 'A', topic: 'a b' })];
    expect((await request(fakes.app()).get('/v1/messages?topic=a+b')).body).toMatchObject({ messages: [{ id: 'A' }] });
  });
});

describe('/v1/messages/{id}', () => {
  test('shows and removes a message, and leaves a tombstone (promise 2)', async () => {
    fakes.messages = [storedMessage({ id: 'A', topic: 't' })];
    expect((await get('/v1/messages/A')).body).toMatchObject({ id: 'A', text: 'hello' });
    expect((await request(fakes.app()).delete('/v1/messages/A')).status).toBe(204);
    expect(fakes.tombstones.get('A')).toBe(NOW + 500);
    expectProblem(await get('/v1/messages/A'), 404, 'not-found');
    expectProblem(await request(fakes.app()).delete('/v1/messages/A'), 404, 'not-found');
  });

  test.each(['none', 'a%2Fb', '%00', 'x'.repeat(65), 'retained'])('answers the id %s with 404', async (id) => {
    expectProblem(await get(`/v1/messages/${id}`), 404, 'not-found');
  });

  test('answers an expired message with 404', async () => {
    fakes.messages = [storedMessage({ id: 'A', topic: 't', expiresAt: NOW })];
    expectProblem(await get('/v1/messages/A'), 404, 'not-found');
  });

  test('answers a malformed percent-encoding with 400', async () => {
    expectProblem(await request(fakes.app()).get('/v1/messages/%zz'), 400, 'malformed');
  });
});

describe('DELETE /v1/messages', () => {
  const purge = (query: string): Promise<Response> => Promise.resolve(request(fakes.app()).delete(`/v1/messages${query}`));

  test('removes matching messages, expired or not, and answers their number', async () => {
    fakes.messages = Array.from({ length: 1500 }, (_, i) =>
      storedMessage({ id: `A${i}`, topic: `t/${i % 120}`, expiresAt: i % 2 === 0 ? 1 : null }),
    );
    fakes.messages.push(storedMessage({ id: 'B', topic: 'u' }));
    expect((await purge('?filter=t/%23')).body).toEqual({ removed: 1500 });
    expect(fakes.messages.map(({ id }) => id)).toEqual(['B']);
    expect(fakes.tombstones.size).toBe(1500);
  });

  // The guard is `tell` in DELETE /v1/messages.
  test('logs its progress at most every 5 s', async () => {
    fakes.messages = Array.from({ length: 20 }, (_, i) => storedMessage({ id: `A${i}`, topic: `t/${i % 10}` }));
    let time = NOW;
    // A second for each look at the clock.
    const app = fakes.app({ now: () => (time += 1_000) });
    await request(app).delete('/v1/messages?filter=t/%23');
    const told = fakes.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => String(msg).startsWith('purge: '));
    expect(told).toHaveLength(2);
    const [first, second] = told.map(({ removed }) => Number(removed));
    expect(told[0]).toMatchObject({ level: 'info', filter: 't/#' });
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(first ?? 0);
  });

  test('needs a filter', async () => {
    fakes.messages = [storedMessage({ id: 'A', topic: 't' })];
    for (const query of ['', '?filter=', '?fliter=t', '?filter=$share/g/t', '?topic=t'])
      expectProblem(await purge(query), 400, 'validation');
    expect(fakes.messages).toHaveLength(1);
  });
});

test('an outage of the store is 503, and a bug is 500 that is only logged', async () => {
  fakes.failure = new RetryableError('away');
  expectProblem(await list(), 503, 'unavailable');
  fakes.failure = new TypeError('secret detail');
  const response = await list();
  expectProblem(response, 500, 'internal');
  expect(response.text).not.toContain('secret');
  expect(fakes.lines.join('')).toContain('secret detail');
});
