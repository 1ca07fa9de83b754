import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createLogger } from '../../src/base/log';
import request, { type Response } from 'supertest';
import { ClosedError, OverloadedError, RefusedError, RetryableError, UnavailableError } from '../../src/base/errors';
import { FIXTURES, publishBody, without } from '../events/bodies';
import { Fakes } from './fakes';
import { expectProblem, paths } from './problems';

let fakes: Fakes;
beforeEach(() => {
  fakes = new Fakes();
});

const send = (body: string | Buffer, path = '/v1/events', headers: Record<string, string> = {}) =>
  request(fakes.app())
    .post(path)
    .set({ 'Content-Type': 'application/json', ...headers })
    .serialize((each: unknown) => each as string)
    .send(body);

const post = (body: unknown, path = '/v1/events') => send(JSON.stringify(body), path);

describe('POST /v1/events accepts recorded events of EMQX 5.8.9', () => {
  test.each(FIXTURES.map((each) => [each.event, each.case, each.body] as const))('one by one: %s (%s)', async (event, _, body) => {
    for (const path of ['/v1/events', `/v1/events/${event}`]) {
      const response = await post(body, path);
      expect([response.status, response.body]).toEqual([202, { accepted: 1 }]);
    }
    expect(fakes.accepted).toHaveLength(2);
    expect(fakes.recorded).toEqual([]);
  });

  test('all in one array, in order', async () => {
    const response = await post(FIXTURES.map(({ body }) => body));
    expect(response.body).toEqual({ accepted: FIXTURES.length });
    expect(fakes.accepted).toHaveLength(FIXTURES.length);
    expect(
      fakes.accepted
        .map((event) => 'clientid' in event && event.clientid)
        .filter(Boolean)
        .slice(0, 3),
    ).toEqual(['dev/a+1', 'dev/a+1', 'dev/a+1']);
  });
});

describe('POST /v1/events', () => {
  test('promise 1: answers 202 only after the queue has stored the event', async () => {
    const order: string[] = [];
    fakes.queueing = async () => {
      order.push('asked');
      await new Promise((done) => setTimeout(done, 50));
      order.push('durable');
    };
    await post(publishBody()).then(() => order.push('answered'));
    expect(order).toEqual(['asked', 'durable', 'answered']);
  });

  test('accepts ignored events, including those of bridges with slashes in their names', async () => {
    expect((await post({ event: 'client.connack' })).body).toEqual({ accepted: 1 });
    expect((await post({}, '/v1/events/$bridges/mqtt:a')).body).toEqual({ accepted: 1 });
    expect(fakes.accepted).toEqual([
      { type: 'ignored', event: 'client.connack' },
      { type: 'ignored', event: '$bridges/mqtt:a' },
    ]);
  });

  test('accepts an empty array without a write to the queue', async () => {
    fakes.failure = new Error('not to be asked');
    expect((await post([])).body).toEqual({ accepted: 0 });
  });

  // EMQX gives up what is refused, and sends JSON in UTF-8 whatever header an operator gave the action.
  test.each([
    ...[
      'application/json; charset=utf-8',
      'Application/JSON;charset="UTF-8"',
      'application/json;',
      'application/json;charset=utf-8;v=1',
      'application/json; charset=iso-8859-1',
    ],
    ...['application/cloudevents+json', 'application/octet-stream', 'text/plain', 'text/html', 'application/x-www-form-urlencoded', ''],
  ])('accepts the content type %j, with a byte order mark or gzip, too', async (type) => {
    const body = Buffer.from(JSON.stringify(publishBody({ payload: 'ä😀' })));
    const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body]);
    for (const each of [body, marked]) {
      expect((await send(each, '/v1/events', { 'Content-Type': type })).status).toBe(202);
      expect((await send(gzipSync(each), '/v1/events', { 'Content-Type': type, 'Content-Encoding': 'GZIP' })).status).toBe(202);
    }
    expect(fakes.accepted).toHaveLength(4);
    for (const event of fakes.accepted) expect(event).toMatchObject({ message: { payload: Buffer.from('ä😀').toString('base64') } });
  });

  test('accepts an event without a content type', async () => {
    const server = createServer(fakes.app()).listen(0);
    const { port } = server.address() as AddressInfo;
    const status = await new Promise((resolve, reject) => {
      const sent = httpRequest({ port, path: '/v1/events', method: 'POST' }, (response) =>
        response.resume().once('end', () => resolve(response.statusCode)),
      );
      sent.once('error', reject).end(JSON.stringify(publishBody()));
    });
    server.close();
    expect(status).toBe(202);
  });

  // What EMQX's "Start Test" of a rule sends (emqx_rule_events), its half pairs included.
  test("accepts the events of EMQX's rule test", async () => {
    const pub_props = {
      ...{ 'Payload-Format-Indicator': 0, 'Message-Expiry-Interval': 30, 'User-Property': { foo: 'bar' } },
      'User-Property-Pairs': [{ key: 'foo' }, { value: 'bar' }],
    };
    const at = Date.now();
    const common = {
      id: '0005E27C1D24E44FF440000017520000',
      topic: 't/a',
      qos: 1,
      flags: {},
      publish_received_at: at,
      timestamp: at,
      pub_props,
      client_attrs: { test: 'example' },
    };
    const publish = { ...common, clientid: 'c_emqx', username: 'u_emqx', payload: '{"msg":"hello"}' };
    for (const event of [
      { ...publish, event: 'message.publish' },
      { ...publish, event: 'message.dropped', reason: 'no_subscribers' },
      { ...common, event: 'message.acked', clientid: 'c' },
    ]) {
      expect((await post(event)).status).toBe(202);
    }
    expect(fakes.accepted[0]).toMatchObject({ message: { properties: { userProperties: [{ key: 'foo', value: 'bar' }] } } });
  });

  test('counts accepted events by name', async () => {
    await post([publishBody(), publishBody(), { event: '$bridges/mqtt:a' }]);
    const text = await fakes.metrics.registry.metrics();
    expect(text).toContain('emqx_offline_events_accepted_total{event="message.publish"} 2');
    expect(text).toContain('emqx_offline_events_accepted_total{event="$bridges"} 1');
  });
});

describe('POST /v1/events rejects and keeps as a dead letter (promise 13)', () => {
  async function refused(response: Response, kind: string): Promise<void> {
    expectProblem(response, 400, kind);
    expect(fakes.accepted).toEqual([]);
    expect(fakes.recorded).toHaveLength(1);
    expect(fakes.recorded[0]?.reason).toBe((JSON.parse(response.text) as { detail: string }).detail);
    expect(await fakes.metrics.registry.metrics()).toContain(`events_rejected_total{reason="${kind}"} 1`);
  }

  test.each<[string, Record<string, unknown>, string]>([
    ['no id', without(publishBody(), 'id'), '/id'],
    ['id "undefined"', publishBody({ id: 'undefined' }), '/id'],
    ['no client id', without(publishBody(), 'clientid'), '/clientid'],
    ['a client id with U+0000', publishBody({ clientid: 'a\0' }), '/clientid'],
    ['a lone surrogate in the client id', publishBody({ clientid: '\ud800' }), '/clientid'],
    ['no topic', without(publishBody(), 'topic'), '/topic'],
    ['a wildcard in the topic', publishBody({ topic: 't/#' }), '/topic'],
    ['QoS 3', publishBody({ qos: 3 }), '/qos'],
    ['no payload', without(publishBody(), 'payload'), '/payload'],
    ['bad base64', publishBody({ payload_base64: 'AP8' }), '/payload_base64'],
    ['bad correlation data', publishBody({ correlation_data_base64: '*' }), '/correlation_data_base64'],
    ['no time', without(publishBody(), 'timestamp'), '/publish_received_at'],
    ['a time in seconds', publishBody({ timestamp: 1_795_728_270 }), '/timestamp'],
    [
      'a subscription at a time in seconds',
      { event: 'session.subscribed', clientid: 'c', topic: 't', qos: 1, timestamp: 1_795_728_270 },
      '/timestamp',
    ],
    ['a connection at a time in seconds', { event: 'client.connected', clientid: 'c', connected_at: 1_795_728_270 }, '/connected_at'],
    [
      'half pairs of user properties, and nothing else',
      publishBody({ pub_props: { 'User-Property-Pairs': [{ key: 'a', value: 'b' }, { key: 'foo' }] } }),
      '/pub_props/User-Property-Pairs/1/value',
    ],
    ['a bad filter', publishBody({ event: 'session.subscribed', topic: 'a#' }), '/topic'],
    ['a share without a group', publishBody({ event: 'session.subscribed', topic: '$share//t' }), '/topic'],
    ['an unknown event', { event: 'message.published' }, '/event'],
    ['no event', { topic: 't' }, '/event'],
  ])('%s', async (_, body, path) => {
    const response = await post(body);
    await refused(response, 'validation');
    expect(paths(response)).toEqual([path]);
    expect(fakes.recorded[0]).toMatchObject({ event: JSON.stringify(body), source: 'POST /v1/events' });
  });

  test('an event with another name than in the path', async () => {
    await refused(await post(publishBody(), '/v1/events/message.acked'), 'validation');
    expect(fakes.recorded[0]?.source).toBe('POST /v1/events/message.acked');
  });

  test('an unknown event in the path, and lists the known ones', async () => {
    const response = await post({}, '/v1/events/nope');
    await refused(response, 'validation');
    expect(response.text).toContain('message.publish');
  });

  test('an array as a whole, and names the invalid entries', async () => {
    const response = await post([publishBody(), publishBody({ id: 'A2' }), publishBody(), without(publishBody(), 'id'), 5]);
    await refused(response, 'validation');
    expect(paths(response)).toEqual(['/3/id', '/4']);
  });

  test('an array of more than 10,000 events', async () => {
    const response = await post(Array.from({ length: 10_001 }, () => ({ event: 'client.ping' })));
    await refused(response, 'validation');
    expect((await post(Array.from({ length: 10_000 }, () => ({ event: 'client.ping' })))).status).toBe(202);
  });

  test('an array when the path names one event', async () => {
    await refused(await post([publishBody()], '/v1/events/message.publish'), 'validation');
  });

  test.each([
    ['no body', ''],
    ['no JSON', '{"event":'],
    ['U+0000 in the text', '{"a":"\0"}'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('%s', async (_, body) => {
    await refused(await send(body), 'malformed');
    expect(String(fakes.recorded[0]?.event)).not.toContain('\0');
  });

  test('a malformed percent-encoding in the path', async () => {
    await refused(await post(publishBody(), '/v1/events/%zz'), 'malformed');
    expect(fakes.recorded[0]?.event).toBe(JSON.stringify(publishBody()));
  });

  test('a body that cannot be decompressed', async () => {
    await refused(await send('no gzip', '/v1/events', { 'Content-Encoding': 'gzip' }), 'malformed');
  });

  test('an unknown content encoding with 415', async () => {
    expectProblem(await send('{"event":"client.ping"}', '/v1/events', { 'Content-Encoding': 'zip' }), 415, 'unsupported-media-type');
    expect(fakes.recorded).toMatchObject([
      { event: '{"event":"client.ping"}', reason: expect.stringMatching(/Content-Encoding/) as string },
    ]);
  });

  test('a body over the limit with 413, compressed or not, and keeps its beginning', async () => {
    const large = JSON.stringify(publishBody({ payload: 'x'.repeat(2000) }));
    const limited = (body: string | Buffer, headers: Record<string, string>) =>
      request(fakes.app({ bodyLimit: 1000 }))
        .post('/v1/events')
        .set({ 'Content-Type': 'application/json', ...headers })
        .serialize((each: unknown) => each as string)
        .send(body);
    expectProblem(await limited(large, {}), 413, 'too-large');
    expectProblem(await limited(gzipSync(large), { 'Content-Encoding': 'gzip' }), 413, 'too-large');
    expectProblem(await limited('x'.repeat(5_000), {}), 413, 'too-large');
    expect(fakes.recorded.map(({ event }) => event)).toEqual([large, large, '']);
  });

  test('a large body, of which it keeps 64 KB', async () => {
    await refused(await send('é'.repeat(100_000)), 'malformed');
    expect(Buffer.byteLength(String(fakes.recorded[0]?.event))).toBe(65_536);
  });

  test('an event with 400 even when the dead letter cannot be stored', async () => {
    fakes.recording = Promise.reject(new Error('away'));
    expectProblem(await post({}), 400, 'validation');
    expect(fakes.lines.join('')).toMatch(/not recorded/);
    fakes.recording = new Promise(() => undefined);
    expectProblem(await post({}), 400, 'validation');
  });
});

describe('POST /v1/events without a dead letter', () => {
  afterEach(() => expect([fakes.accepted, fakes.recorded]).toEqual([[], []]));

  // Any web page may have a browser post these without asking. The guard is refuseBrowsers.
  test.each(['text/plain', 'application/json; charset=latin1', 'application/x-www-form-urlencoded', ''])(
    'rejects a request from a web page as %j with 415',
    async (type) => {
      const headers = { 'Content-Type': type, Origin: 'https://evil.example' };
      expectProblem(await send(JSON.stringify(publishBody()), '/v1/events', headers), 415, 'unsupported-media-type');
    },
  );

  // EMQX sends it again.
  test('ignores a body that breaks off', async () => {
    const server = createServer(fakes.app()).listen(0);
    const { port } = server.address() as AddressInfo;
    for (const headers of [{}, { 'content-encoding': 'gzip' }]) {
      const sent = httpRequest({ port, path: '/v1/events', method: 'POST', headers: { 'content-length': 100, ...headers } });
      sent
        .once('error', () => undefined)
        .write('content-encoding' in headers ? gzipSync('{"event":"client.ping"}').subarray(0, 20) : '{"event":');
      await new Promise((resolve) => setTimeout(resolve, 50));
      sent.destroy();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.close();
  });

  // The guard is unpipe().resume() in collect (body.ts): the rest of the body stood before the connection's next request, which was never read.
  test('serves the next request of a connection after a broken gzip body', async () => {
    const server = createServer(fakes.app({ log: createLogger({ level: 'silent' }) })).listen(0);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (headers: Record<string, string>, body: Buffer | string) =>
      new Promise<number>((resolve, reject) => {
        const { port } = server.address() as AddressInfo;
        const sent = httpRequest(
          { agent, port, path: '/v1/events', method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
          (response) => response.resume().once('end', () => resolve(response.statusCode ?? 0)),
        );
        sent.once('error', reject).end(body);
      });
    try {
      expect(await send({ 'content-encoding': 'gzip' }, Buffer.alloc(300_000, 'x'))).toBe(400);
      expect(await send({}, JSON.stringify({ event: 'client.ping' }))).toBe(202);
    } finally {
      agent.destroy();
      server.close();
      fakes.accepted.length = 0;
      fakes.recorded.length = 0;
    }
  });

  test('answers every failure with 503 or 429, because EMQX drops events after a 500', async () => {
    for (const failure of [
      new UnavailableError('away'),
      new RetryableError('later'),
      new ClosedError('closed'),
      new RefusedError('no'),
      new TypeError('bug'),
    ]) {
      fakes.failure = failure;
      expectProblem(await post(publishBody()), 503, 'unavailable');
    }
    fakes.failure = new OverloadedError('full');
    expectProblem(await post(publishBody()), 429, 'overloaded');
  });

  test('logs an unexpected error with its stack and does not show it', async () => {
    fakes.failure = new TypeError('secret detail');
    expect((await post(publishBody())).text).not.toContain('secret detail');
    const [line] = fakes.lines.map((each) => JSON.parse(each) as { level: string; err: { stack: string } });
    expect(line).toMatchObject({ level: 'error', path: '/v1/events' });
    expect(line?.err.stack).toContain('events.test.ts');
  });

  test('logs an outage of the queue once per second, not per event', async () => {
    fakes.failure = new UnavailableError('away');
    const app = fakes.app();
    for (let i = 0; i < 5; i++) await request(app).post('/v1/events').send(publishBody());
    expect(fakes.lines.length).toBeLessThan(3);
  });
});
