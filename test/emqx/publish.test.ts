import { AuthError } from '../../src/emqx/api';
import { LostAnswerError } from '../../src/emqx/http';
import { ClosedError, RetryableError } from '../../src/base/errors';
import { API_SECRET, clientOf, delivery } from './client';
import type { Answer, SeenRequest } from './stub';
import { Stubbed } from './stubbed';
import { unanswered } from './unanswered';

const DELIVERED = { id: '000660C033B654DCF49A0000049C0002' };
const NOBODY = { reason_code: 16, message: 'no_matching_subscribers' };
const TOO_LARGE = { reason_code: 151, message: 'packet_too_large' };
const NOT_DISPATCHED = { reason_code: 131, message: 'failed_to_dispatch' };

const on = new Stubbed();
const start = (...script: Answer[]) => on.start(...script);

const topicsOf = (request: SeenRequest): string[] =>
  (Array.isArray(request.json) ? request.json : [request.json]).map((entry: { topic: string }) => entry.topic);

/** As EMQX: a bulk with a bad entry is a 400 and publishes nothing. `published` is what it published, in order. */
function emqxThatRefuses(bad: ReadonlySet<string>, published: string[], refusal: { status: number; body?: unknown }): Answer {
  return (request) => {
    const topics = topicsOf(request);
    if (topics.some((topic) => bad.has(topic))) return refusal;
    published.push(...topics);
    return { status: 200, body: Array.isArray(request.json) ? topics.map(() => DELIVERED) : DELIVERED };
  };
}

describe('publishing one message', () => {
  test('sends its payload in base64 and its properties to /publish', async () => {
    const { emqx } = await start({ status: 200, body: DELIVERED });
    const payload = Buffer.from([0x00, 0xff, 0xfe, 0x80]);
    const outcomes = await emqx.publish([
      delivery('t/1', {
        qos: 2,
        retain: true,
        payload,
        properties: {
          userProperties: { 'offline-msgid': 'A', __proto__x: 'y' },
          contentType: 'x/y',
          responseTopic: 'r/1',
          correlationData: 'c',
          payloadFormatIndicator: 0,
          messageExpiryInterval: 60,
        },
      }),
    ]);
    expect(outcomes).toEqual([{ result: 'delivered', id: DELIVERED.id }]);
    expect(on.stub.seen).toHaveLength(1);
    const [request] = on.stub.seen;
    expect(request).toMatchObject({ method: 'POST', path: '/api/v5/publish', contentType: 'application/json' });
    expect(request?.authorization).toBe(`Basic ${Buffer.from(`the-key:${API_SECRET}`).toString('base64')}`);
    expect(request?.json).toEqual({
      topic: 't/1',
      qos: 2,
      retain: true,
      payload_encoding: 'base64',
      payload: payload.toString('base64'),
      properties: {
        user_properties: { 'offline-msgid': 'A', __proto__x: 'y' },
        content_type: 'x/y',
        response_topic: 'r/1',
        correlation_data: 'c',
        payload_format_indicator: 0,
        message_expiry_interval: 60,
      },
    });
  });

  test('sends no property that the publisher did not set', async () => {
    const { emqx } = await start({ status: 200, body: DELIVERED });
    await emqx.publish([delivery('t/1', { payload: Buffer.alloc(0) })]);
    expect(on.stub.seen[0]?.json).toMatchObject({ payload: '', payload_encoding: 'base64' });
    expect((on.stub.seen[0]?.json as { properties: object }).properties).toEqual({ user_properties: { 'offline-msgid': 't/1' } });
  });

  test('sends user properties as strings only, because other types crash subscribers', async () => {
    const { emqx } = await start({ status: 200, body: DELIVERED });
    const untyped: Record<string, unknown> = { number: 7, list: ['a', 'b'], nothing: null, ['__proto__']: 1 };
    await emqx.publish([delivery('t/1', { properties: { userProperties: untyped as Record<string, string> } })]);
    const sent = (on.stub.seen[0]?.json as { properties: { user_properties: Record<string, unknown> } }).properties.user_properties;
    expect(Object.entries(sent)).toEqual([
      ['number', '7'],
      ['list', 'a,b'],
      ['nothing', 'null'],
      ['__proto__', '1'],
    ]);
  });

  test('reports that EMQX has no subscriber', async () => {
    const { emqx } = await start({ status: 202, body: NOBODY });
    expect(await emqx.publish([delivery('t/1')])).toEqual([{ result: 'no-subscribers' }]);
  });

  test("reports a rejection with EMQX's reason, without a retry", async () => {
    const { emqx, pauses } = await start({ status: 400, body: TOO_LARGE });
    expect(await emqx.publish([delivery('t/1')])).toEqual([{ result: 'refused', reason: 'packet_too_large (151)' }]);
    expect(on.stub.seen).toHaveLength(1);
    expect(pauses).toEqual([]);
  });

  test('shortens the payload that EMQX quotes in a rejection', async () => {
    const { emqx } = await start({ status: 400, body: { code: 'BAD_REQUEST', message: { reason: 'x'.repeat(100_000) } } });
    const [outcome] = await emqx.publish([delivery('t/1')]);
    expect(outcome).toMatchObject({ result: 'refused', reason: expect.stringMatching(/^\{"reason":"xxx.*\(BAD_REQUEST\)$/) });
    expect((outcome as { reason: string }).reason.length).toBeLessThan(400);
  });
});

describe('publishing several messages', () => {
  test('sends one bulk and returns one outcome per message, in order', async () => {
    const { emqx } = await start({ status: 202, body: [DELIVERED, NOBODY, { id: '000660C033B654DCF49A0000049C0003' }] });
    expect(await emqx.publish([delivery('t/1'), delivery('t/2'), delivery('t/3')])).toEqual([
      { result: 'delivered', id: '000660C033B654DCF49A0000049C0002' },
      { result: 'no-subscribers' },
      { result: 'delivered', id: '000660C033B654DCF49A0000049C0003' },
    ]);
    expect(on.stub.seen.map(({ path }) => path)).toEqual(['/api/v5/publish/bulk']);
    expect(on.stub.seen.flatMap(topicsOf)).toEqual(['t/1', 't/2', 't/3']);
  });

  test('sends no request for an empty list', async () => {
    const { emqx } = await start({ status: 500 });
    expect(await emqx.publish([])).toEqual([]);
    expect(on.stub.seen).toEqual([]);
  });

  test('sends at most 500 messages per bulk', async () => {
    const published: string[] = [];
    const { emqx } = await start(emqxThatRefuses(new Set(), published, { status: 400 }));
    const topics = Array.from({ length: 1_001 }, (_, i) => `t/${i}`);
    expect(await emqx.publish(topics.map((topic) => delivery(topic)))).toHaveLength(1_001);
    expect(on.stub.seen.map((request) => [request.path, topicsOf(request).length])).toEqual([
      ['/api/v5/publish/bulk', 500],
      ['/api/v5/publish/bulk', 500],
      ['/api/v5/publish', 1],
    ]);
    expect(published).toEqual(topics);
  });

  test('sends at most 4 MB per bulk, and a larger message alone', async () => {
    const published: string[] = [];
    const { emqx } = await start(emqxThatRefuses(new Set(), published, { status: 400 }));
    const sized = (topic: string, bytes: number) => delivery(topic, { payload: Buffer.alloc(bytes) });
    const messages = [...Array.from({ length: 7 }, (_, i) => sized(`t/${i}`, 1_000_000)), sized('huge', 4_000_000), sized('last', 10)];
    await emqx.publish(messages);
    expect(published).toEqual(messages.map(({ topic }) => topic));
    const alone = on.stub.seen.filter(({ path }) => path === '/api/v5/publish').flatMap(topicsOf);
    expect(alone).toContain('huge');
    for (const { path, text } of on.stub.seen) {
      if (path.endsWith('/bulk')) expect(text.length).toBeLessThanOrEqual(4 * 1024 * 1024);
    }
  });

  test('counts non-ASCII topics in bytes', async () => {
    const { emqx } = await start(emqxThatRefuses(new Set(), [], { status: 400 }));
    const wide = (n: number) => delivery('ü'.repeat(30_000), { payload: Buffer.from(String(n)) });
    await emqx.publish(Array.from({ length: 100 }, (_, i) => wide(i)));
    expect(on.stub.seen.length).toBeGreaterThan(1);
    for (const { text } of on.stub.seen) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4 * 1024 * 1024);
  });
});

describe('a bulk publish that EMQX rejects', () => {
  const topics = Array.from({ length: 37 }, (_, i) => `t/${i}`);
  const bad = new Set(['t/0', 't/17', 't/36']);

  test.each([
    ['400', { status: 400, body: TOO_LARGE }, 'packet_too_large (151)'],
    ['413 of a proxy', { status: 413, body: '<html>too large</html>' }, '<html>too large</html>'],
  ])('is split until the bad messages are alone (%s); the others are published once', async (_name, refusal, reason) => {
    const published: string[] = [];
    const { emqx, pauses } = await start(emqxThatRefuses(bad, published, refusal));
    const outcomes = await emqx.publish(topics.map((topic) => delivery(topic)));
    expect(outcomes).toEqual(
      topics.map((topic) => (bad.has(topic) ? { result: 'refused', reason } : { result: 'delivered', id: DELIVERED.id })),
    );
    expect(published).toEqual(topics.filter((topic) => !bad.has(topic)));
    expect(pauses).toEqual([]);
    expect(on.stub.seen.length).toBeLessThan(40);
  });

  test('is split after a 500 with an empty body, too (body too large)', async () => {
    const published: string[] = [];
    const { emqx, pauses } = await start((request) => {
      if (topicsOf(request).length > 10) return { status: 500 };
      published.push(...topicsOf(request));
      return { status: 200, body: topicsOf(request).map(() => DELIVERED) };
    });
    expect(await emqx.publish(topics.map((topic) => delivery(topic)))).toEqual(
      topics.map(() => ({ result: 'delivered', id: DELIVERED.id })),
    );
    expect(published).toEqual(topics);
    expect(pauses).toEqual([]);
  });

  test('rejects a message over 4 MB at once after that 500', async () => {
    const { emqx, pauses } = await start({ status: 500 });
    const outcomes = await emqx.publish([delivery('huge', { payload: Buffer.alloc(6_000_000) })]);
    expect(outcomes).toEqual([{ result: 'refused', reason: 'EMQX answered 500 with an empty body: the request body is too large' }]);
    expect(pauses).toEqual([]);
  });

  test('rejects a small message that crashes a healthy EMQX each time (promise 13)', async () => {
    const published: string[] = [];
    const emqxThatCrashes = emqxThatRefuses(new Set(['t/1']), published, { status: 500 }) as (request: SeenRequest) => { status: number };
    const { emqx } = await start((request) =>
      request.path.endsWith('/nodes') ? { status: 200, body: [{ node_status: 'running', version: '5.8.9' }] } : emqxThatCrashes(request),
    );
    expect(await emqx.publish(['t/0', 't/1', 't/2'].map((topic) => delivery(topic)))).toEqual([
      { result: 'delivered', id: DELIVERED.id },
      { result: 'refused', reason: 'EMQX answered 500 with an empty body, each time' },
      { result: 'delivered', id: DELIVERED.id },
    ]);
    expect(published).toEqual(['t/0', 't/2']);
  });

  // EMQX Serverless has no GET /nodes, and a key may not be allowed to read it: without the second question such a
  // message was tried for ever.
  test.each([
    ['has no GET /nodes', { status: 404, body: { code: 'NOT_FOUND' } }, { status: 404, body: { code: 'CLIENTID_NOT_FOUND' } }],
    [
      'allows the key only to publish',
      { status: 403, body: { code: 'UNAUTHORIZED_ROLE' } },
      { status: 403, body: { code: 'UNAUTHORIZED_ROLE' } },
    ],
  ])('rejects such a message even when EMQX %s', async (_, nodes, client) => {
    const { emqx } = await start(({ path }) => (path.endsWith('/nodes') ? nodes : path.includes('/clients/') ? client : { status: 500 }));
    expect(await emqx.publish([delivery('t/1')])).toEqual([
      { result: 'refused', reason: 'EMQX answered 500 with an empty body, each time' },
    ]);
  });

  test('rejects no message while EMQX answers 500 to everything', async () => {
    const { emqx } = await start({ status: 500 });
    await expect(emqx.publish([delivery('t/0'), delivery('t/1')])).rejects.toThrow(RetryableError);
  });
});

describe('a transient error of a publish', () => {
  test.each([429, 502, 503, 504, 500])('with status %i is retried after growing pauses', async (status) => {
    const trouble = { status, body: { code: 'SERVICE_UNAVAILABLE', message: 'starting' } };
    const { emqx, pauses } = await start(trouble, trouble, { status: 200, body: DELIVERED });
    expect(await emqx.publish([delivery('t/1')])).toEqual([{ result: 'delivered', id: DELIVERED.id }]);
    expect(pauses).toEqual([200, 400]);
  });

  test('is thrown as RetryableError when the retries are used up', async () => {
    const { emqx, pauses } = await start({ status: 503, body: { code: 'SERVICE_UNAVAILABLE', message: 'starting' } });
    await expect(emqx.publish([delivery('t/1')])).rejects.toThrow('EMQX answered 503: starting (SERVICE_UNAVAILABLE)');
    expect(pauses).toEqual([200, 400, 800]);
    expect(on.stub.seen).toHaveLength(4);
  });

  // What EMQX may have published may be acknowledged by now. The guard is LostAnswerError in Publisher.send.
  test.each(['reset', 'hang'] as const)(
    'as a lost or late answer (%s) is not retried, because EMQX may have published',
    async (behaviour) => {
      const { emqx, pauses } = await start(behaviour, { status: 200, body: DELIVERED });
      expect(await unanswered(on.stub, 1, () => emqx.publish([delivery('t/1')]))).toEqual([{ result: 'unknown' }]);
      expect(on.stub.seen).toHaveLength(1);
      expect(pauses).toEqual([]);
    },
  );

  describe('in the second of three bulks', () => {
    const messages = Array.from({ length: 1_100 }, (_, i) => delivery(`t/${i}`));
    const good = (request: SeenRequest) => ({ status: 200, body: topicsOf(request).map(() => DELIVERED) });
    const resultsOf = (outcomes: readonly { readonly result: string }[]) =>
      [0, 500, 1_000].map((from) => [...new Set(outcomes.slice(from, from + 500).map(({ result }) => result))]);

    test('leaves the first bulk delivered and the last unsent after a lost answer', async () => {
      const { emqx } = await start(good, 'reset', good);
      const outcomes = await emqx.publish(messages);
      expect(outcomes).toHaveLength(1_100);
      expect(resultsOf(outcomes)).toEqual([['delivered'], ['unknown'], ['unsent']]);
      expect((outcomes.at(-1) as { error: Error }).error).toBeInstanceOf(LostAnswerError);
    });

    test('leaves the second bulk unsent, too, after a 502', async () => {
      const { emqx } = await start(good, { status: 502 });
      const outcomes = await emqx.publish(messages);
      expect(resultsOf(outcomes)).toEqual([['delivered'], ['unsent'], ['unsent']]);
      expect((outcomes.at(-1) as { error: Error }).error.message).toContain('EMQX answered 502');
    });
  });

  test('retries only the messages that EMQX could not dispatch', async () => {
    const { emqx, pauses } = await start(
      { status: 503, body: [DELIVERED, NOT_DISPATCHED, NOBODY, NOT_DISPATCHED] },
      { status: 202, body: [DELIVERED, NOBODY] },
    );
    expect(await emqx.publish(['t/0', 't/1', 't/2', 't/3'].map((topic) => delivery(topic)))).toEqual([
      { result: 'delivered', id: DELIVERED.id },
      { result: 'delivered', id: DELIVERED.id },
      { result: 'no-subscribers' },
      { result: 'no-subscribers' },
    ]);
    expect(on.stub.seen.map(topicsOf)).toEqual([
      ['t/0', 't/1', 't/2', 't/3'],
      ['t/1', 't/3'],
    ]);
    expect(pauses).toEqual([200]);
  });

  // NotDispatchedError in Publisher: thrown, it would have everybody wait for one client whose connection takes no more.
  test('leaves only the topic unsent whose messages EMQX cannot dispatch', async () => {
    const topics = Array.from({ length: 1_001 }, (_, i) => (i % 2 === 0 ? 't/well' : 't/stuck'));
    const published: string[] = [];
    const { emqx } = await start((request) => {
      const entries = topicsOf(request).map((topic) => (topic === 't/stuck' ? NOT_DISPATCHED : DELIVERED));
      published.push(...topicsOf(request).filter((topic) => topic === 't/well'));
      const body = Array.isArray(request.json) ? entries : entries[0];
      return { status: entries.includes(NOT_DISPATCHED as never) ? 503 : 200, body };
    });
    const outcomes = await emqx.publish(topics.map((topic) => delivery(topic)));
    expect(outcomes.map(({ result }) => result)).toEqual(topics.map((topic) => (topic === 't/well' ? 'delivered' : 'unsent')));
    expect(published).toHaveLength(501);
    // The second bulk did not ask for the stuck topic at all.
    expect(on.stub.seen.slice(4).flatMap(topicsOf)).not.toContain('t/stuck');
  });

  test('leaves a single message unsent that EMQX cannot dispatch', async () => {
    const { emqx, pauses } = await start({ status: 503, body: NOT_DISPATCHED });
    expect(await emqx.publish([delivery('t/1')])).toMatchObject([
      { result: 'unsent', error: { message: 'EMQX answered 503: failed_to_dispatch' } },
    ]);
    expect(pauses).toEqual([200, 400, 800]);
  });

  test('retries after an answer that does not match the messages', async () => {
    const { emqx } = await start(
      { status: 200, body: [DELIVERED] },
      { status: 200, body: '<html>sign in</html>' },
      { status: 200, body: [DELIVERED, DELIVERED] },
    );
    expect(await emqx.publish([delivery('t/0'), delivery('t/1')])).toEqual([
      { result: 'delivered', id: DELIVERED.id },
      { result: 'delivered', id: DELIVERED.id },
    ]);
    expect(on.stub.seen).toHaveLength(3);
  });

  test('names EMQX_URL in the error after a 404', async () => {
    const { emqx } = await start({ status: 404, body: '' });
    await expect(emqx.publish([delivery('t/1')])).rejects.toThrow(/^EMQX_URL: .* answered 404 to POST \/publish: is it EMQX 5's REST base/);
  });
});

describe('a rejected API key', () => {
  test.each([
    [401, { code: 'BAD_API_KEY_OR_SECRET', message: `wrong: ${API_SECRET}` }, '401 BAD_API_KEY_OR_SECRET'],
    [403, { code: 'UNAUTHORIZED_ROLE', message: 'no' }, '403 UNAUTHORIZED_ROLE'],
    [401, `proxy says ${API_SECRET}`, '401 no code'],
  ])('with status %i is an AuthError that names the settings and never the secret', async (status, body, words) => {
    const { emqx, pauses } = await start({ status, body });
    const error: unknown = await emqx.publish([delivery('t/1'), delivery('t/2')]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AuthError);
    expect(error).toBeInstanceOf(RetryableError);
    const { message } = error as Error;
    expect(message).toContain('EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX');
    expect(message).toContain(words);
    expect(message).not.toContain(API_SECRET);
    expect(pauses).toEqual([]);
    expect(on.stub.seen).toHaveLength(1);
  });
});

describe('stopping the EMQX client', () => {
  test('ends a running request with the reason of the aborted signal', async () => {
    const { emqx } = await start('hang');
    const stop = new AbortController();
    const publishing = emqx.publish([delivery('t/1')], stop.signal);
    const failed = expect(publishing).rejects.toThrow('shutting down');
    await on.stub.received(1);
    stop.abort(new Error('shutting down'));
    await failed;
  });

  test('ends a pause with the reason of the aborted signal', async () => {
    const { emqx } = await start({ status: 503, body: {} });
    await emqx.close();
    const stop = new AbortController();
    const sleep = (_ms: number, signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('interrupted')));
        stop.abort(new Error('shutting down'));
      });
    const client = clientOf(on.stub.url, { backoff: { sleep } });
    await expect(client.emqx.publish([delivery('t/1')], stop.signal)).rejects.toThrow('shutting down');
    await client.emqx.close();
  });

  test('sends no further bulk after the signal was aborted', async () => {
    const stop = new AbortController();
    const { emqx } = await start((request) => {
      stop.abort(new Error('shutting down'));
      return { status: 200, body: topicsOf(request).map(() => DELIVERED) };
    });
    const messages = Array.from({ length: 600 }, (_, i) => delivery(`t/${i}`));
    await expect(emqx.publish(messages, stop.signal)).rejects.toThrow('shutting down');
    expect(on.stub.seen).toHaveLength(1);
  });

  test('sends no request when the signal was already aborted', async () => {
    const { emqx } = await start({ status: 200, body: DELIVERED });
    await expect(emqx.publish([delivery('t/1')], AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(on.stub.seen).toEqual([]);
  });

  test('ends running requests and rejects new ones after close()', async () => {
    const { emqx } = await start('hang');
    const failed = expect(emqx.publish([delivery('t/1')])).rejects.toThrow(ClosedError);
    await on.stub.received(1);
    await emqx.close();
    await failed;
    await expect(emqx.publish([delivery('t/1')])).rejects.toThrow(ClosedError);
    await emqx.close();
  });
});

test('the EMQX client keeps its connections alive', async () => {
  const { emqx } = await start({ status: 200, body: DELIVERED });
  for (let i = 0; i < 5; i++) await emqx.publish([delivery('t/1')]);
  expect(on.stub.connections).toBe(1);
});
