import request from 'supertest';
import { OverloadedError, RefusedError, UnavailableError } from '../../src/base/errors';
import { contract } from '../../src/contract/contract';
import { InvalidEventError } from '../../src/events';
import { Fakes, REQUEST_ID } from './fakes';
import { expectProblem, paths } from './problems';

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const letter = (id: string) => ({ id, reason: 'bad', event: { a: 1 }, source: null, at: 1 });

describe('dead letters', () => {
  test('are listed in pages', async () => {
    fakes.letters = [letter('1'), letter('2')];
    const response = await request(fakes.app()).get('/v1/dead-letters?limit=1');
    const { letters, next } = response.body as { letters: unknown[]; next: string };
    expect(letters).toEqual([letter('1')]);
    expect(contract.validator('#/components/schemas/DeadLetterPage')(response.body)).toEqual([]);
    expect((await request(fakes.app()).get(`/v1/dead-letters?after=${next}`)).body).toMatchObject({ next: null });
    const cursor = (value: unknown) => `after=${Buffer.from(JSON.stringify(value)).toString('base64url')}`;
    const garbage = [
      'after=more',
      'after=1.5',
      cursor({}),
      cursor({ at: '1', id: 'x' }),
      cursor({ at: 1.5, id: 'x' }),
      cursor({ at: 1, id: '' }),
      cursor({ at: 1, id: '\0' }),
      cursor(null),
    ];
    for (const query of ['limit=0', 'limit=1001', 'after=', 'after=%00', 'x=1', ...garbage]) {
      expectProblem(await request(fakes.app()).get(`/v1/dead-letters?${query}`), 400, 'validation');
    }
  });

  test('are shown, retried and removed one by one', async () => {
    fakes.letters = [letter('1'), letter('2')];
    expect((await request(fakes.app()).get('/v1/dead-letters/1')).body).toEqual(letter('1'));
    const retried = await request(fakes.app()).post('/v1/dead-letters/1/retry');
    expect([retried.status, retried.body]).toEqual([202, { accepted: 1 }]);
    expect((await request(fakes.app()).delete('/v1/dead-letters/2')).status).toBe(204);
    for (const id of ['1', 'none', '%00']) {
      expectProblem(await request(fakes.app()).get(`/v1/dead-letters/${id}`), 404, 'not-found');
      expectProblem(await request(fakes.app()).delete(`/v1/dead-letters/${id}`), 404, 'not-found');
      expectProblem(await request(fakes.app()).post(`/v1/dead-letters/${id}/retry`), 404, 'not-found');
    }
  });

  test('are retried with a corrected event', async () => {
    fakes.letters = [letter('1')];
    const repaired = { event: 'client.ping' };
    const retry = (body: object) => request(fakes.app()).post('/v1/dead-letters/1/retry').send(body);
    expect((await retry({ event: repaired })).status).toBe(202);
    expect(fakes.edited).toEqual([repaired]);
    // Neither the event by itself, nor something else beside it.
    for (const body of [repaired, { event: repaired, x: 1 }, {}, []]) expectProblem(await retry(body), 400, 'validation');
    fakes.letters = [letter('1')];
    fakes.failure = new InvalidEventError([{ path: '/topic', message: 'is missing' }]);
    const refused = await retry({ event: { event: 'message.publish' } });
    expectProblem(refused, 400, 'validation');
    expect(refused.body).toMatchObject({ errors: [{ path: '/event/topic', message: 'is missing' }] });
    fakes.failure = null;
    expect(fakes.letters).toHaveLength(1);
    expectProblem(await request(fakes.app()).post('/v1/dead-letters/1/retry').type('text/plain').send('x'), 415, 'unsupported-media-type');
    expectProblem(await request(fakes.app()).post('/v1/dead-letters/1/retry').type('json').send('{'), 400, 'malformed');
  });

  test('are exported together, one per line', async () => {
    fakes.letters = [letter('1'), { ...letter('2'), event: 'a\nb' }];
    const response = await request(fakes.app())
      .get('/v1/dead-letters/export')
      .buffer(true)
      .parse((res, done) => {
        let text = '';
        res.on('data', (chunk: Buffer) => (text += chunk.toString()));
        res.on('end', () => done(null, text));
      });
    expect(response.headers['content-type']).toMatch(/^application\/x-ndjson/);
    const lines = (response.body as unknown as string).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(fakes.letters);
    fakes.failure = new UnavailableError('away');
    expectProblem(await request(fakes.app()).get('/v1/dead-letters/export'), 503, 'unavailable');
  });

  test('are retried or removed together', async () => {
    fakes.letters = [letter('1'), letter('2')];
    const retried = await request(fakes.app()).post('/v1/dead-letters/retry');
    expect([retried.status, retried.body]).toEqual([202, { accepted: 2 }]);
    fakes.letters = [letter('3')];
    expect((await request(fakes.app()).delete('/v1/dead-letters')).body).toEqual({ removed: 1 });
  });

  test('that cannot be retried answer 409, 503 or 429', async () => {
    for (const [failure, status, kind] of [
      [new RefusedError('the event has no id'), 409, 'refused'],
      [new UnavailableError('away'), 503, 'unavailable'],
      [new OverloadedError('full'), 429, 'overloaded'],
    ] as const) {
      fakes.failure = failure;
      expectProblem(await request(fakes.app()).post('/v1/dead-letters/1/retry'), status, kind);
    }
  });
});

describe('POST /v1/deliveries', () => {
  const post = (body: unknown) =>
    request(fakes.app())
      .post('/v1/deliveries')
      .send(body as object);

  test('requests a delivery', async () => {
    const response = await post({ clientid: 'dev/a+1', topic: '$share/g/t/#' });
    expect([response.status, response.body]).toEqual([202, { id: REQUEST_ID, state: 'accepted' }]);
    expect(response.headers['location']).toBe(`/v1/deliveries/${REQUEST_ID}`);
    expect(fakes.requested).toEqual([['dev/a+1', '$share/g/t/#']]);
  });

  test('has an outcome that can be read; an unknown one is 404', async () => {
    const outcome = { id: REQUEST_ID, clientid: 'c', topic: 't/#', state: 'done', sent: 3, detail: '3 messages were sent.' } as const;
    fakes.outcomes[REQUEST_ID] = outcome;
    const response = await request(fakes.app()).get(`/v1/deliveries/${REQUEST_ID}`);
    expect([response.status, response.body]).toEqual([200, outcome]);
    for (const id of [REQUEST_ID.replace('0b', '0c'), 'x', '%00', '../x'])
      expectProblem(await request(fakes.app()).get(`/v1/deliveries/${encodeURIComponent(id)}`), 404, 'not-found');
  });

  test.each<[unknown, string]>([
    [{ topic: 't' }, '/clientid'],
    [{ clientid: 'c' }, '/topic'],
    [{ clientid: '', topic: 't' }, '/clientid'],
    [{ clientid: 'c', topic: 'a#' }, '/topic'],
    [{ clientid: 'c', topic: 'a', filter: 'b' }, '/filter'],
    [[], ''],
  ])('answers %j with 400', async (body, path) => {
    const response = await post(body);
    expectProblem(response, 400, 'validation');
    expect(paths(response)).toEqual([path]);
    expect([fakes.requested, fakes.recorded]).toEqual([[], []]);
  });

  test('answers other content types with 415', async () => {
    expectProblem(await request(fakes.app()).post('/v1/deliveries').type('text/plain').send('{}'), 415, 'unsupported-media-type');
  });
});

describe('the endpoints for operation', () => {
  test('GET /v1/stats answers as openapi.yaml says', async () => {
    const { body } = (await request(fakes.app()).get('/v1/stats')) as { body: unknown };
    expect(contract.validator('#/components/schemas/Stats')(body)).toEqual([]);
    expect(body).toMatchObject({ messages: 1, lanes: [{ name: 'lane-0', waiting: 1 }] });
  });

  test('GET /healthz answers ok during an outage', async () => {
    fakes.failure = new UnavailableError('away');
    const response = await request(fakes.app()).get('/healthz');
    expect([response.status, response.body]).toEqual([200, { status: 'ok' }]);
  });

  test('GET /readyz lists each failing dependency', async () => {
    const ready = await request(fakes.app()).get('/readyz');
    expect([ready.status, ready.body]).toEqual([200, { ready: true, checks: fakes.checks }]);
    fakes.checks.push({ name: 'queue', ok: false, detail: 'no answer; see QUEUE_URL' });
    const unready = await request(fakes.app()).get('/readyz');
    expect([unready.status, unready.body]).toEqual([503, { ready: false, checks: fakes.checks }]);
    fakes.failure = new TypeError('bug');
    const broken = await request(fakes.app()).get('/readyz');
    expect([broken.status, broken.body]).toMatchObject([503, { ready: false, checks: [{ ok: false }] }]);
  });

  test('GET /metrics has the duration of requests by route', async () => {
    const app = fakes.app();
    await request(app).get('/v1/messages/A');
    await request(app).get('/nowhere');
    const { text, headers } = await request(app).get('/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/v1/messages/:id",status="404"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="none",status="404"} 1');
  });

  test('GET /openapi.yaml answers the file', async () => {
    const response = await request(fakes.app()).get('/openapi.yaml');
    expect(response.headers['content-type']).toMatch(/^application\/yaml/);
    expect(Buffer.isBuffer(response.body) ? response.body.toString() : response.text).toBe(contract.text);
  });

  test('GET /docs loads only local files and no inline scripts', async () => {
    const page = await request(fakes.app()).get('/docs');
    expect(page.headers['content-security-policy']).toContain("script-src 'self';");
    expect(page.text).not.toMatch(/https?:|<script>/);
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(files).toHaveLength(4);
    for (const file of files) expect((await request(fakes.app()).get(file)).status).toBe(200);
    for (const file of ['package.json', 'index.html', '..%2fpackage.json', 'swagger-ui.js']) {
      expectProblem(await request(fakes.app()).get(`/docs/${file}`), 404, 'not-found');
    }
  });
});

describe('the HTTP API', () => {
  test('answers an unknown path with 404 and a wrong method with 405 and Allow', async () => {
    for (const path of ['/', '/v2/events', '/v1', '/v1/nothing', '/V1/events', '/nothing']) {
      expectProblem(await request(fakes.app()).get(path), 404, 'not-found');
    }
    for (const [path, allow] of [
      ['/v1/events', 'POST'],
      ['/v1/events/message.publish', 'POST'],
      ['/v1/messages', 'GET, HEAD, DELETE'],
      ['/v1/dead-letters/retry', 'POST'],
      ['/v1/dead-letters/1', 'GET, HEAD, DELETE'],
      ['/healthz', 'GET, HEAD'],
    ] as const) {
      const response = await request(fakes.app()).put(path);
      expectProblem(response, 405, 'method-not-allowed');
      expect(response.headers['allow']).toBe(allow);
    }
  });

  test('sends no revealing headers and forbids caching', async () => {
    const { headers } = await request(fakes.app()).get('/v1/stats');
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('etag');
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });

  test('answers HEAD like GET', async () => {
    expect((await request(fakes.app()).head('/healthz')).status).toBe(200);
  });
});
