import crypto from 'node:crypto';
import request from 'supertest';
import type { Tokens } from '../../src/door/auth';
import { publishBody } from '../events/bodies';
import { Fakes } from './fakes';
import { expectProblem } from './problems';

const TOKENS = { ingestToken: 'ingest-secret', adminToken: 'admin-secret' };

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const post = (path: string, authorization?: string, tokens: Partial<Tokens> = TOKENS) => {
  const sent = request(fakes.app(tokens)).post(path);
  return (authorization === undefined ? sent : sent.set('Authorization', authorization)).send(publishBody());
};
const get = (path: string, authorization?: string) => {
  const sent = request(fakes.app(TOKENS)).get(path);
  return authorization === undefined ? sent : sent.set('Authorization', authorization);
};

test('the ingest token is accepted for events', async () => {
  for (const path of ['/v1/events', '/v1/events/message.publish', '/v1/events/']) {
    expect((await post(path, 'Bearer ingest-secret')).status).toBe(202);
    expect((await post(path, 'bearer  ingest-secret')).status).toBe(202);
    expectProblem(await post(path, 'Bearer admin-secret'), 403, 'forbidden');
  }
});

test('the admin token is accepted for every other /v1 path', async () => {
  for (const path of ['/v1/messages', '/v1/dead-letters', '/v1/stats']) {
    expect((await get(path, 'Bearer admin-secret')).status).toBe(200);
    expectProblem(await get(path, 'Bearer ingest-secret'), 403, 'forbidden');
    expectProblem(await get(path), 401, 'unauthorized');
  }
});

test.each([
  undefined,
  '',
  'Bearer',
  'Bearer ',
  'Bearer wrong',
  'Basic ingest-secret',
  'ingest-secret',
  'Bearer ingest-secret x',
  'Bearer ingest-secre',
])('Authorization %j is answered with 401 and a challenge', async (authorization) => {
  const response = await post('/v1/events', authorization);
  expectProblem(response, 401, 'unauthorized');
  expect(response.headers['www-authenticate']).toMatch(/^Bearer /);
  expect([fakes.accepted, fakes.recorded]).toEqual([[], []]);
});

test('an unknown path is 404 only with a valid token, in any spelling', async () => {
  for (const path of ['/v1/nothing', '/v1/eventsx', '/v1/Events', '/v1/%65vents']) {
    expectProblem(await post(path), 401, 'unauthorized');
    expectProblem(await post(path, 'Bearer admin-secret'), 404, 'not-found');
  }
  for (const path of ['/V1/events', '//v1/events']) expectProblem(await post(path), 404, 'not-found');
});

test('health, metrics, openapi.yaml and /docs need no token', async () => {
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.yaml', '/docs']) expect((await get(path)).status).toBe(200);
});

test('a path without a configured token is open with any header', async () => {
  for (const authorization of [undefined, 'Bearer x', 'Bearer admin-secret']) {
    expect((await post('/v1/events', authorization, { adminToken: 'admin-secret' })).status).toBe(202);
  }
});

test('no token is written to the log', async () => {
  fakes.failure = new TypeError('bug');
  await post('/v1/events', 'Bearer ingest-secret');
  await post('/v1/events', 'Bearer admin-secret');
  expect(fakes.lines.join('')).not.toContain('secret');
});

test('the previous ingest token is accepted for events only', async () => {
  const tokens = { ...TOKENS, previousIngestToken: 'old-secret' };
  expect((await post('/v1/events', 'Bearer old-secret', tokens)).status).toBe(202);
  expect((await post('/v1/events', 'Bearer ingest-secret', tokens)).status).toBe(202);
  expectProblem(await request(fakes.app(tokens)).get('/v1/stats').set('Authorization', 'Bearer old-secret'), 403, 'forbidden');
  expectProblem(await post('/v1/events', 'Bearer old-secret'), 401, 'unauthorized');
});

// The guard is matcher in auth.ts. A comparison of texts ends at the first difference, or at once where the lengths differ.
test('a token is compared as a whole and in constant time', async () => {
  const compared = jest.spyOn(crypto, 'timingSafeEqual');
  for (const token of ['i', 'ingest-secret', 'ingest-secreT', 'x'.repeat(5_000)]) {
    compared.mockClear();
    await post('/v1/events', `Bearer ${token}`, { ...TOKENS, previousIngestToken: 'old-secret' });
    // Against the ingest token and the one before; what is neither against the admin token.
    expect(compared.mock.calls.map(([one, other]) => [one.byteLength, other.byteLength])).toEqual(
      Array(token === 'ingest-secret' ? 2 : 3).fill([32, 32]),
    );
  }
  compared.mockRestore();
});

describe('the read token', () => {
  const tokens = { ...TOKENS, readToken: 'read-secret' };
  const as = (method: 'get' | 'head' | 'post' | 'put' | 'delete', path: string, token: string) =>
    request(fakes.app(tokens))[method](path).set('Authorization', `Bearer ${token}`);

  test('reads every /v1 path that the admin token reads', async () => {
    for (const path of ['/v1/access', '/v1/topics', '/v1/messages', '/v1/retained', '/v1/dead-letters', '/v1/stats', '/v1/setup']) {
      expect([path, (await as('get', path, 'read-secret')).status]).toEqual([path, 200]);
      expect([path, (await as('head', path, 'read-secret')).status]).toEqual([path, 200]);
    }
  });

  test('is rejected for changes and events', async () => {
    for (const [method, path] of [
      ['delete', '/v1/messages?filter=%23'],
      ['delete', '/v1/dead-letters'],
      ['post', '/v1/dead-letters/retry'],
      ['post', '/v1/deliveries'],
      ['post', '/v1/retained/restore'],
      ['put', '/v1/clients/c/subscriptions'],
      ['post', '/v1/events'],
      ['post', '/v1/events/message.publish'],
    ] as const) {
      const response = await as(method, path, 'read-secret');
      expectProblem(response, 403, 'forbidden');
      expect((response.body as { detail: string }).detail).toContain('ADMIN_TOKEN');
    }
    expect([fakes.accepted, fakes.requested, fakes.restored, fakes.desk]).toEqual([[], [], [], []]);
  });

  test('is distinguished from the admin token in GET /v1/access', async () => {
    expect((await as('get', '/v1/access', 'read-secret')).body).toEqual({ access: 'read', version: '0.1.0' });
    expect((await as('get', '/v1/access', 'admin-secret')).body).toEqual({ access: 'admin', version: '0.1.0' });
    expect((await request(fakes.app()).get('/v1/access')).body).toEqual({ access: 'admin', version: '0.1.0' });
    expectProblem(await as('get', '/v1/access', 'ingest-secret'), 403, 'forbidden');
    expectProblem(await as('get', '/v1/access', 'read-secre'), 401, 'unauthorized');
  });
});
