import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import request from 'supertest';
import { UnavailableError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import { Fakes } from './fakes';
import { expectProblem, paths } from './problems';

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const state = { clientid: 'c', connected: true, node: 'n1', connectedAt: 5, disconnectedAt: null, at: 5 };
const position = (topic: string) => ({ consumer: 'c', topic, id: 'M1', receipts: ['M3'] });
const subscription = (topic: string, clientid = 'c') => ({ clientid, topic, qos: 1 as const });
const url = (clientid: string, rest = '') => `/v1/clients/${encodeURIComponent(clientid)}${rest}`;
const get = (path: string) => request(fakes.app()).get(path);

/** A position as the server keeps it, and as it is shown. */
const MARKED = ['@7', '^5', 'A1', '?A2', '=A3', 'B1..B3', '!B2', '+900:A9'];
const SHOWN = {
  ...{ topic: 't/1', id: null, receipts: ['A1', 'A2', 'A3'], ranges: [{ first: 'B1', last: 'B3' }], unread: ['B2'] },
  ...{ seen_at: 7, reads_from: 5 },
};

describe('GET /v1/clients/{clientid}', () => {
  test('shows the state, subscriptions, positions and delivery of the client', async () => {
    fakes.states = [state];
    fakes.subscriptions = [subscription('a/#'), subscription('b', 'other')];
    // The row of a wildcard filter has nothing but times: it is not a topic's.
    fakes.positions = [
      { ...position('t/+'), id: '', receipts: ['@9'] },
      { ...position('t/1'), id: '', receipts: MARKED },
    ];
    fakes.deliveries = { c: { unacknowledged: 2, oldest_sent_at: 7, waiting: [{ filter: 'a/#', qos: 1, topic: 'a/1', after: null }] } };
    const { body } = (await get('/v1/clients/c')) as { body: unknown };
    expect(body).toEqual({
      ...{ clientid: 'c', connected: true, node: 'n1', connected_at: 5, disconnected_at: null },
      ...{ subscription_count: 1, subscriptions: [{ topic: 'a/#', qos: 1 }] },
      ...{ positions: [SHOWN], next: null, delivery: fakes.deliveries['c'], explanation: fakes.explanations },
    });
    expect(contract.validator('#/components/schemas/Client')(body)).toEqual([]);
  });

  test("does not show the positions of a group to a client with the group's name", async () => {
    fakes.positions = [{ ...position('t/1'), consumer: '$share/g' }];
    expectProblem(await get('/v1/clients/%24share%2Fg'), 404, 'not-found');
  });

  test('answers null without a connection event, and 404 for an unknown client', async () => {
    fakes.subscriptions = [subscription('a')];
    const { body } = (await get('/v1/clients/c')) as { body: unknown };
    expect(body).toMatchObject({ connected: null, node: null, connected_at: null, disconnected_at: null, delivery: null });
    expect(contract.validator('#/components/schemas/Client')(body)).toEqual([]);
    expectProblem(await get('/v1/clients/C'), 404, 'not-found');
  });

  test('has read positions in pages', async () => {
    fakes.positions = ['t/1', 't/2', 't/3'].map(position);
    const found: string[] = [];
    for (let after = ''; ;) {
      const { body } = (await get(`/v1/clients/c?limit=2${after}`)) as { body: { positions: { topic: string }[]; next: string | null } };
      found.push(...body.positions.map(({ topic }) => topic));
      if (body.next === null) break;
      after = `&after=${body.next}`;
    }
    expect(found).toEqual(['t/1', 't/2', 't/3']);
    expect((await get(`/v1/clients/c?after=${Buffer.from('t/3').toString('base64url')}`)).body).toMatchObject({
      positions: [],
      next: null,
    });
    for (const query of ['limit=0', 'limit=1001', 'after=', 'after=!', 'after=AA', 'x=1'])
      expectProblem(await get(`/v1/clients/c?${query}`), 400, 'validation');
  });
});

describe('/v1/clients/{clientid}/subscriptions', () => {
  const path = '/v1/clients/c/subscriptions';
  const put = (body: unknown) =>
    request(fakes.app())
      .put(path)
      .send(body as object);

  test('lists subscriptions in pages, sorted by code point', async () => {
    fakes.subscriptions = ['$share/g/t', '+/a', '\uffee', '😀'].map((topic) => subscription(topic));
    const first = await get(`${path}?limit=3`);
    expect(contract.validator('#/components/schemas/SubscriptionPage')(first.body)).toEqual([]);
    const { subscriptions, next } = first.body as { subscriptions: unknown[]; next: string };
    expect(subscriptions).toEqual(['$share/g/t', '+/a', '\uffee'].map((topic) => ({ topic, qos: 1 })));
    expect((await get(`${path}?limit=3&after=${next}`)).body).toEqual({ subscriptions: [{ topic: '😀', qos: 1 }], next: null });
    expect((await get('/v1/clients/nobody/subscriptions')).body).toEqual({ subscriptions: [], next: null });
  });

  test('replaces and removes subscriptions through the queue', async () => {
    const wanted = [
      { topic: '$share/g/t/#', qos: 2 },
      { topic: 't/1', qos: 0 },
    ];
    const accepted = await put({ subscriptions: wanted });
    expect([accepted.status, accepted.body]).toEqual([202, { accepted: 1 }]);
    expect((await put({ subscriptions: [] })).status).toBe(202);
    expect((await request(fakes.app()).delete(`${path}?topic=${encodeURIComponent('t/+')}`)).body).toEqual({ accepted: 1 });
    expect((await request(fakes.app()).delete(path)).status).toBe(202);
    expect(fakes.desk).toEqual([
      ['assign', 'c', wanted],
      ['assign', 'c', []],
      ['withdraw', 'c', 't/+'],
      ['withdraw', 'c', null],
    ]);
  });

  test.each<[unknown, string]>([
    [{}, '/subscriptions'],
    [[], ''],
    [{ subscriptions: [{ topic: 't' }] }, '/subscriptions/0/qos'],
    [{ subscriptions: [{ topic: 't', qos: 3 }] }, '/subscriptions/0/qos'],
    [{ subscriptions: [{ topic: 't', qos: -1 }] }, '/subscriptions/0/qos'],
    [{ subscriptions: [{ topic: 'a#', qos: 1 }] }, '/subscriptions/0/topic'],
    [{ subscriptions: [{ topic: '', qos: 1 }] }, '/subscriptions/0/topic'],
    [{ subscriptions: [{ topic: '$share//t', qos: 1 }] }, '/subscriptions/0/topic'],
    [
      {
        subscriptions: [
          { topic: 't', qos: 1 },
          { topic: 't', qos: 0 },
        ],
      },
      '/subscriptions/1/topic',
    ],
    [{ subscriptions: [{ topic: '$offline/c/#', qos: 1 }] }, '/subscriptions/0/topic'],
    [{ subscriptions: [{ topic: '$share/g/$offline/c/#', qos: 1 }] }, '/subscriptions/0/topic'],
    [{ subscriptions: [], more: 1 }, ''],
    [{ subscriptions: Array.from({ length: 10_001 }, (_, i) => ({ topic: `t/${i}`, qos: 1 })) }, '/subscriptions'],
  ])('answers an invalid body with 400 and changes nothing (example %#)', async (body, at) => {
    const response = await put(body);
    expectProblem(response, 400, 'validation');
    expect(paths(response)[0]).toContain(at);
    expect(fakes.desk).toEqual([]);
  });

  test('removes nothing after a mistyped query or filter', async () => {
    for (const query of ['?filter=t', '?topic=', '?topic=a%23', '?topic=t&topic=u'])
      expectProblem(await request(fakes.app()).delete(`${path}${query}`), 400, 'validation');
    expect(fakes.desk).toEqual([]);
  });

  test('answers other content types with 415, other methods with 405, an outage with 503', async () => {
    expectProblem(await request(fakes.app()).put(path).type('text/plain').send('{}'), 415, 'unsupported-media-type');
    const posted = await request(fakes.app()).post(path);
    expectProblem(posted, 405, 'method-not-allowed');
    expect(posted.headers['allow']).toBe('GET, HEAD, PUT, DELETE');
    fakes.failure = new UnavailableError('away');
    for (const response of [
      await get('/v1/clients/c'),
      await get(path),
      await put({ subscriptions: [] }),
      await request(fakes.app()).delete(path),
    ]) {
      expectProblem(response, 503, 'unavailable');
    }
  });

  test('needs the admin token', async () => {
    const app = fakes.app({ ingestToken: 'in', adminToken: 'admin' });
    for (const each of ['/v1/clients/c', path]) {
      expectProblem(await request(app).get(each), 401, 'unauthorized');
      expectProblem(await request(app).get(each).set('Authorization', 'Bearer in'), 403, 'forbidden');
    }
    expectProblem(await request(app).delete(path).set('Authorization', 'Bearer in'), 403, 'forbidden');
    expect((await request(app).delete(path).set('Authorization', 'Bearer admin')).status).toBe(202);
  });
});

describe('a client id in the path', () => {
  const ids = ['a/b', '/', 'a+b', '#', 'a b', 'a%2Fb', '%', '"q"', 'клиент 😀', 'a?b&c=d', 'x/subscriptions', 'subscriptions', '\u0007'];

  test.each(ids)('can be %j', async (clientid) => {
    fakes.states = [{ ...state, clientid }];
    expect((await get(url(clientid))).body).toMatchObject({ clientid, connected: true });
    expect((await request(fakes.app()).delete(url(clientid, '/subscriptions'))).status).toBe(202);
    expect(fakes.desk).toEqual([['withdraw', clientid, null]]);
  });

  // HTTP clients that follow the URL standard resolve dots, encoded ones too, before they send anything.
  test.each(['.', '..', '...'])('can be %j when the HTTP client sends it unchanged', async (clientid) => {
    fakes.states = [{ ...state, clientid }];
    const server = createServer(fakes.app()).listen(0);
    const { port } = server.address() as AddressInfo;
    const status = await new Promise((resolve, reject) => {
      httpRequest({ port, path: `/v1/clients/${clientid}` }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    server.close();
    expect(status).toBe(200);
  });

  test('is rejected when it is invalid', async () => {
    for (const id of ['%00', `${'x'.repeat(8)}%00`]) {
      for (const path of [`/v1/clients/${id}`, `/v1/clients/${id}/subscriptions`]) expectProblem(await get(path), 400, 'validation');
    }
    expectProblem(await get('/v1/clients/%ff'), 400, 'malformed');
    expectProblem(await get('/v1/clients/'), 404, 'not-found');
    expectProblem(await get('/v1/clients'), 404, 'not-found');
    expectProblem(await get('/v1/clients/a/b'), 404, 'not-found');
  });
});
