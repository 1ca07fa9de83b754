import { API_SECRET, clientOf } from './client';
import { Stub, type Answer } from './stub';
import { unanswered } from './unanswered';

async function healthWith(answer: Answer) {
  const stub = await Stub.start(answer);
  const { emqx, pauses } = clientOf(stub.url);
  const health = await (answer === 'hang' ? unanswered(stub, 1, () => emqx.health()) : emqx.health());
  await emqx.close();
  await stub.stop();
  expect(health.detail).not.toContain(API_SECRET);
  expect(health.detail).not.toContain('\n');
  return { health, pauses, seen: stub.seen };
}

const node = (version: string, node_status = 'running') => ({ node: 'emqx@127.0.0.1', version, node_status, edition: 'Opensource' });

test('the health check shows the version of EMQX', async () => {
  const { health, seen } = await healthWith({ status: 200, body: [node('5.8.9')] });
  expect(health).toEqual({ ok: true, detail: 'EMQX 5.8.9' });
  expect(seen).toMatchObject([{ method: 'GET', path: '/api/v5/nodes' }]);
});

test('the health check shows the versions and running nodes of a cluster', async () => {
  const { health } = await healthWith({
    status: 200,
    body: [node('5.8.9'), node('5.9.0', 'Running'), { node: 'x', node_status: 'stopped' }],
  });
  expect(health).toEqual({ ok: true, detail: 'EMQX 5.8.9 and 5.9.0, 2 of 3 nodes running' });
});

test('the health check names the settings when EMQX rejects the API key', async () => {
  const { health } = await healthWith({ status: 401, body: { code: 'BAD_API_KEY_OR_SECRET', message: 'Check api_key/api_secret' } });
  expect(health.ok).toBe(false);
  expect(health.detail).toMatch(/^EMQX_API_KEY \/ EMQX_API_SECRET: refused by EMQX \(401 BAD_API_KEY_OR_SECRET\)/);
});

test.each<[string, Answer, RegExp]>([
  ['a wrong path', { status: 404 }, /^EMQX_URL: http:\/\/127\.0\.0\.1:\d+\/api\/v5 answered 404/],
  ['a server that is not EMQX', { status: 200, body: '<html></html>' }, /^EMQX_URL: .* is not EMQX's REST API$/],
  ['a broken EMQX', { status: 500 }, /^EMQX answered 500/],
  ['no running node', { status: 200, body: [node('5.8.9', 'stopped')] }, /^EMQX_URL: no EMQX node runs at /],
  ['no answer', 'hang', /^EMQX_URL: no answer from .* within 3000 ms$/],
  ['a cut connection', 'reset', /^EMQX_URL: lost the connection to .* \(ECONNRESET\)$/],
])('the health check fails without a retry: %s', async (_name, answer, detail) => {
  const { health, pauses, seen } = await healthWith(answer);
  expect(health.ok).toBe(false);
  expect(health.detail).toMatch(detail);
  expect(pauses).toEqual([]);
  // Behind a 404 there may be an EMQX that has no such path.
  expect(seen.map(({ path }) => path.replace(/.*\/api\/v5/, ''))).toEqual([
    '/nodes',
    ...(detail.source.includes('404') ? ['/clients/emqx-offline-store-health'] : []),
  ]);
});

describe('an EMQX that does not allow the key to read GET /nodes', () => {
  const UNAUTHORIZED = { code: 'UNAUTHORIZED_ROLE', message: 'no' };
  test.each([
    [
      '403',
      { status: 403, body: UNAUTHORIZED },
      { status: 404, body: { code: 'CLIENTID_NOT_FOUND' } },
      'EMQX answers; its version, and which of its nodes run, are unknown (GET /nodes: 403)',
    ],
    [
      '404, as Serverless',
      { status: 404, body: {} },
      { status: 404, body: { code: 'CLIENTID_NOT_FOUND' } },
      'EMQX answers; its version, and which of its nodes run, are unknown (GET /nodes: 404)',
    ],
    [
      '403, nor clients (the role publisher)',
      { status: 403, body: UNAUTHORIZED },
      { status: 403, body: UNAUTHORIZED },
      "EMQX answers; its version, its nodes and clients' sessions are unknown (GET /nodes: 403, GET /clients/{clientid}: 403), and whether the key may publish",
    ],
  ])('is ready, and the detail says what is unknown: %s', async (_, nodes, client, detail) => {
    const { health } = await healthWith(({ path }) => (path.endsWith('/nodes') ? nodes : client));
    expect(health).toEqual({ ok: true, detail });
  });

  test.each([
    ['a proxy closes everything', { status: 403, body: '<html>' }, /^EMQX_API_KEY.* \(403 no code\) for GET \/nodes; give the key a role/],
    ['the key is wrong', { status: 401, body: { code: 'BAD_API_KEY_OR_SECRET' } }, /^EMQX_API_KEY.*401 BAD_API_KEY_OR_SECRET/],
    ['EMQX is starting', { status: 503, body: {} }, /^EMQX answered 503/],
  ])('is not ready when %s', async (_, client, detail) => {
    const nodes = { status: 403, body: client.status === 403 ? '<html>' : UNAUTHORIZED };
    const { health } = await healthWith(({ path }) => (path.endsWith('/nodes') ? nodes : client));
    expect(health).toMatchObject({ ok: false, detail: expect.stringMatching(detail) });
  });
});

test('the health check names EMQX_URL without its credentials when EMQX is down', async () => {
  // Nobody listens on port 1.
  const url = 'http://127.0.0.1:1/api/v5';
  const { emqx } = clientOf(url.replace('http://', `http://user:${API_SECRET}@`));
  const health = await emqx.health();
  expect(health).toEqual({ ok: false, detail: `EMQX_URL: cannot connect to ${url} (ECONNREFUSED)` });
  await emqx.close();
});

test('the health check answers after close(), too', async () => {
  const { emqx } = clientOf('http://127.0.0.1:9/api/v5');
  await emqx.close();
  expect(await emqx.health()).toEqual({ ok: false, detail: 'the EMQX client is closed' });
});
