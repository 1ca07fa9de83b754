import request, { type Response } from 'supertest';
import { RefusedError, RetryableError, UnavailableError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import type { components } from '../../src/contract/openapi';
import { Fakes, NOW, REQUEST_ID, storedMessage } from './fakes';
import { expectProblem, paths } from './problems';

type Page = components['schemas']['MessagePage'];

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const list = (query: Record<string, string> = {}): Promise<Response> =>
  Promise.resolve(request(fakes.app()).get(`/v1/retained?${new URLSearchParams(query).toString()}`));
const page = async (query: Record<string, string> = {}): Promise<Page> => {
  const response = await list(query);
  expect(response.status).toBe(200);
  expect(contract.validator('#/components/schemas/MessagePage')(response.body)).toEqual([]);
  return response.body as Page;
};
async function all(query: Record<string, string>): Promise<{ topics: string[]; pages: number }> {
  const topics: string[] = [];
  for (let pages = 1, after: string | null = null; ; pages++) {
    const each: Page = await page(after === null ? query : { ...query, after });
    topics.push(...each.messages.map(({ topic }) => topic));
    after = each.next;
    if (after === null) return { topics, pages };
  }
}
const retained = (topic: string, fields: object = {}) => storedMessage({ id: 'A', topic, retain: true, ...fields });

describe('GET /v1/retained', () => {
  test('shows messages as /v1/messages does', async () => {
    fakes.retained = [retained('t/1', { payload: Buffer.from([0, 0xff]), properties: { messageExpiryInterval: 5 }, expiresAt: NOW + 1 })];
    expect(await page({ filter: 't/+' })).toEqual({
      messages: [
        {
          ...{ id: 'A', topic: 't/1', clientid: 'pub', username: null, qos: 1, retain: true, payload: 'AP8=', text: null },
          ...{ publish_received_at: 1000, expires_at: NOW + 1, properties: { message_expiry_interval: 5 } },
        },
      ],
      next: null,
    });
  });

  test('lists retained messages by filter or all, without expired and empty ones', async () => {
    fakes.retained = [
      retained('a/1'),
      retained('a/2', { expiresAt: NOW }),
      retained('b/1'),
      retained('b/2', { payload: Buffer.alloc(0) }),
      retained('$x/1'),
    ];
    expect((await page()).messages.map(({ topic }) => topic)).toEqual(['a/1', 'b/1']);
    expect((await page({ filter: 'b/#' })).messages.map(({ topic }) => topic)).toEqual(['b/1']);
    expect((await page({ filter: '$x/#' })).messages.map(({ topic }) => topic)).toEqual(['$x/1']);
  });

  test.each([1, 2, 7, 24, 25, 26, 59, 60, 100])('shows each message once in pages of %i', async (limit) => {
    fakes.retained = Array.from({ length: 60 }, (_, i) => retained(`t/${String(i).padStart(2, '0')}`));
    const found = await all({ filter: 't/+', limit: String(limit) });
    expect(found.topics).toEqual(fakes.retained.map(({ topic }) => topic));
    expect(found.pages).toBe(Math.ceil(60 / limit));
  });

  test('ends a page early after large payloads or thousands of expired messages', async () => {
    fakes.retained = Array.from({ length: 30 }, (_, i) =>
      retained(`t/${String(i).padStart(2, '0')}`, { payload: Buffer.alloc(1_000_000) }),
    );
    expect((await all({ limit: '1000' })).pages).toBe(4);
    fakes.retained = [
      ...Array.from({ length: 2_500 }, (_, i) => retained(`t/${String(i).padStart(4, '0')}`, { expiresAt: 1 })),
      retained('u'),
    ];
    expect(await page({ limit: '1000' })).toMatchObject({ messages: [], next: expect.any(String) as string });
    expect((await all({ limit: '1000' })).topics).toEqual(['u']);
  });

  test.each<[Record<string, string>, string]>([
    [{ filter: 'a#' }, 'filter'],
    [{ filter: '$share/g/t' }, 'filter'],
    [{ limit: '0' }, 'limit'],
    [{ after: 'garbage' }, 'after'],
    [{ filter: 'b/#', after: Buffer.from('{"topic":"a","id":null}').toString('base64url') }, 'after'],
    [{ topic: 'a' }, 'topic'],
  ])('answers %j with 400', async (query, path) => {
    const response = await list(query);
    expectProblem(response, 400, 'validation');
    expect(paths(response)).toEqual([path]);
  });

  test('needs the admin token, and answers an outage of the store with 503', async () => {
    expectProblem(await request(fakes.app({ adminToken: 'x' })).get('/v1/retained'), 401, 'unauthorized');
    fakes.failure = new RetryableError('away');
    expectProblem(await list(), 503, 'unavailable');
  });
});

describe('POST /v1/retained/restore', () => {
  const post = () => request(fakes.app()).post('/v1/retained/restore');

  test('restores all messages without a body, and matching ones with a filter', async () => {
    for (const response of [await post(), await post().send({}), await post().send({ filter: 't/+' })]) {
      expect([response.status, response.body]).toEqual([202, { id: REQUEST_ID, state: 'accepted' }]);
      expect(response.headers['location']).toBe(`/v1/retained/restore/${REQUEST_ID}`);
    }
    expect(fakes.restored).toEqual(['#', '#', 't/+']);
  });

  test('has an outcome that can be read; an unknown one is 404', async () => {
    const outcome = { id: REQUEST_ID, filter: '#', state: 'running', published: 1, kept: 2, failed: 3, detail: 'x' } as const;
    fakes.restores[REQUEST_ID] = outcome;
    const get = (id: string) => request(fakes.app()).get(`/v1/retained/restore/${id}`);
    expect((await get(REQUEST_ID)).body).toEqual(outcome);
    for (const id of [REQUEST_ID.replace('0b', '0c'), 'x']) expectProblem(await get(id), 404, 'not-found');
  });

  test('does not list messages that only an earlier policy kept', async () => {
    fakes.retained = [storedMessage({ id: 'A', topic: 'a', retain: true }), storedMessage({ id: 'B', topic: 'b', retain: true })];
    fakes.notKept.add('a');
    const { body } = (await request(fakes.app()).get('/v1/retained')) as { body: { messages: { topic: string }[] } };
    expect(body.messages.map(({ topic }) => topic)).toEqual(['b']);
  });

  // A mistyped filter must not restore everything.
  test.each<[unknown, string]>([
    [{ filter: 'a#' }, '/filter'],
    [{ filter: '$share/g/t' }, '/filter'],
    [{ fliter: 't' }, '/fliter'],
    [[], ''],
  ])('answers %j with 400', async (body, path) => {
    const response = await post().send(body as object);
    expectProblem(response, 400, 'validation');
    expect(paths(response)).toEqual([path]);
    expect(fakes.restored).toEqual([]);
  });

  test('answers wrong requests and outages with 415, 401, 409, 503 or 405', async () => {
    expectProblem(await post().type('text/plain').send('{}'), 415, 'unsupported-media-type');
    expectProblem(await request(fakes.app({ adminToken: 'x' })).post('/v1/retained/restore'), 401, 'unauthorized');
    fakes.failure = new RefusedError('no key');
    expectProblem(await post(), 409, 'refused');
    fakes.failure = new UnavailableError('away');
    expectProblem(await post(), 503, 'unavailable');
    expectProblem(await request(fakes.app()).get('/v1/retained/restore'), 405, 'method-not-allowed');
  });
});
