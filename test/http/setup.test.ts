import request from 'supertest';
import { SettingError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import { publishBody } from '../events/bodies';
import { Arrivals } from '../../src/door/arrivals';
import { Fakes, storedMessage } from './fakes';
import { expectProblem, paths } from './problems';

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});
const get = (path: string) => request(fakes.app()).get(path);

describe('GET /v1/setup', () => {
  test('has defaults, and keeps the order of topics', async () => {
    const { body } = (await get('/v1/setup')) as { body: unknown };
    expect(contract.validator('#/components/schemas/Setup')(body)).toEqual([]);
    await get('/v1/setup?set=full&topic=a/%23&topic=b/+&emqx=4');
    expect(fakes.wishes).toEqual([
      { set: 'offline-messages', topics: [], emqx: null, showsToken: true },
      { set: 'full', topics: ['a/#', 'b/+'], emqx: 4, showsToken: true },
    ]);
  });

  test('hides the ingest token from the read token', async () => {
    const app = fakes.app({ ingestToken: 'i', adminToken: 'a', readToken: 'r' });
    for (const token of ['a', 'r']) await request(app).get('/v1/setup').set('Authorization', `Bearer ${token}`);
    expect(fakes.wishes.map(({ showsToken }) => showsToken)).toEqual([true, false]);
  });

  test.each(['set=x', 'emqx=6', 'topic=a%23', 'topic=', 'topic=$share/g/t', 'x=1', 'set=full&set=full'])(
    'answers %s with 400',
    async (query) => {
      expectProblem(await get(`/v1/setup?${query}`), 400, 'validation');
      expect(fakes.wishes).toEqual([]);
    },
  );

  test('answers an impossible filter with 400 and a conflicting setting with 409', async () => {
    fakes.setupFailure = new SettingError('--topic', 'must not contain quotes');
    const response = await get("/v1/setup?topic=a'b");
    expectProblem(response, 400, 'validation');
    expect(response.body).toMatchObject({ errors: [{ path: 'topic', message: 'must not contain quotes' }] });
    fakes.setupFailure = new SettingError('INGEST_TOKEN', 'must not have ${');
    expectProblem(await get('/v1/setup'), 409, 'refused');
  });

  test('counts accepted events, not rejected ones', async () => {
    let now = 5;
    const arrivals = new Arrivals(() => now);
    const post = (body: object) => request(fakes.app({ arrivals })).post('/v1/events').send(body);
    await post({});
    expect([arrivals.count, arrivals.lastAt]).toEqual([0, null]);
    await post([publishBody(), publishBody()]);
    now = 9;
    await post([]);
    expect([arrivals.count, arrivals.lastAt]).toEqual([2, 5]);
  });
});

describe('GET /v1/topics', () => {
  const topics = async (query = '') => (await get(`/v1/topics${query}`)).body as { topics: { topic: string }[]; next: string | null };

  test('counts the messages of each topic, sorted by code point', async () => {
    fakes.messages = [
      storedMessage({ id: 'A', topic: 'b', publishReceivedAt: 7 }),
      storedMessage({ id: 'B', topic: 'b', publishReceivedAt: 9 }),
      storedMessage({ id: 'C', topic: 'a', publishReceivedAt: 8 }),
      storedMessage({ id: 'D', topic: 'gone', expiresAt: 1 }),
    ];
    const body = await topics();
    expect(body).toEqual({
      topics: [
        { topic: 'a', messages: 1, oldest_at: 8 },
        { topic: 'b', messages: 2, oldest_at: 7 },
      ],
      next: null,
    });
    expect(contract.validator('#/components/schemas/TopicPage')(body)).toEqual([]);
    expect((await topics('?filter=b')).topics.map(({ topic }) => topic)).toEqual(['b']);
  });

  test('does not show 1970 for a row of a taken over table that has no time', async () => {
    fakes.messages = [storedMessage({ id: 'A', topic: 'a', publishReceivedAt: 0 })];
    expect((await topics()).topics).toEqual([{ topic: 'a', messages: 1, oldest_at: null }]);
  });

  test('lists topics in pages', async () => {
    fakes.messages = ['a', 'b', 'c', 'd', 'e'].map((topic) => storedMessage({ id: topic.toUpperCase(), topic }));
    const found: string[] = [];
    for (let after = ''; ;) {
      const page = await topics(`?limit=2${after}`);
      found.push(...page.topics.map(({ topic }) => topic));
      if (page.next === null) break;
      after = `&after=${page.next}`;
    }
    expect(found).toEqual(['a', 'b', 'c', 'd', 'e']);
    for (const query of ['limit=0', 'filter=a%23', 'after=x', 'topic=a'])
      expectProblem(await get(`/v1/topics?${query}`), 400, 'validation');
  });
});

// The guard is checkOf in http/route.ts. A mistyped filter must not remove everything.
describe('an unknown parameter or body is rejected without effect', () => {
  const letter = { id: '1', reason: 'bad', event: { a: 1 }, source: null, at: 1 };

  test.each([
    ['delete', '/v1/dead-letters?id=1'],
    ['post', '/v1/dead-letters/retry?id=1'],
    ['delete', '/v1/dead-letters/1?x=1'],
    ['get', '/v1/stats?x=1'],
    ['get', '/v1/access?x'],
    ['get', '/v1/dead-letters/1?x=1'],
    ['post', '/v1/deliveries?x=1'],
  ] as const)('%s %s', async (method, path) => {
    fakes.letters = [letter];
    const response = await request(fakes.app())[method](path);
    expectProblem(response, 400, 'validation');
    expect(paths(response)).toEqual([/\?(\w+)/.exec(path)?.[1]]);
    expect(fakes.letters).toEqual([letter]);
  });

  test.each([
    ['delete', '/v1/dead-letters'],
    ['post', '/v1/dead-letters/retry'],
    ['delete', '/v1/dead-letters/1'],
  ] as const)('%s %s with a body', async (method, path) => {
    fakes.letters = [letter];
    expectProblem(await request(fakes.app())[method](path).send({ id: '2' }), 400, 'validation');
    expect(fakes.letters).toEqual([letter]);
  });

  test('another method is answered with 405 and the allowed methods', async () => {
    const response = await get('/v1/deliveries');
    expectProblem(response, 405, 'method-not-allowed');
    expect(response.body).toMatchObject({ title: 'Method not allowed', detail: 'GET is not allowed; allowed: POST' });
  });
});
