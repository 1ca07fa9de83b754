import { RefusedError, RetryableError } from '../../src/base/errors';
import { AuthError, type Delivery } from '../../src/emqx/api';
import { openEmqx } from '../../src/emqx/open';
import { EmqxV4 } from '../../src/emqx/v4';
import { EmqxV5 } from '../../src/emqx/v5';
import { API_KEY, API_SECRET, delivery } from './client';
import { Stub, type SeenRequest } from './stub';

type Reply = { readonly status?: number; readonly [key: string]: unknown };
type Script = (request: SeenRequest) => Reply;

const NOW = Date.UTC(2026, 10, 26, 12, 0, 0);
const CLIENT = {
  clientid: 'c',
  connected: true,
  expiry_interval: 0,
  connected_at: '2026-11-26 13:00:05',
  created_at: '2026-11-26 13:00:05',
  mqueue_len: 7,
  inflight: 3,
};

let stub: Stub;
let emqx: EmqxV4;
let clock = NOW;
const pauses: number[] = [];

/** HTTP 200 and a code, as EMQX 4 answers nearly everything; `script` by path, or what a client that is there gets. */
async function start(script: Script = () => ({ code: 0 })): Promise<EmqxV4> {
  stub = await Stub.start((request) => {
    const { status = 200, ...body } = script(request);
    return { status, body };
  });
  const backoff = { sleep: (ms: number) => Promise.resolve(void pauses.push(ms)), random: () => 1 };
  emqx = new EmqxV4({ url: urlOf(), apiKey: API_KEY, apiSecret: API_SECRET, backoff, now: () => clock });
  return emqx;
}

const urlOf = () => stub.url.replace('/api/v5', '/api/v4');
const sent = () => stub.seen.map(({ method, path }) => `${method} ${path.replace('/api/v4', '')}`);
const to = (clientid: string, topic: string): Delivery => delivery(topic, { clientid });
const there: Script = ({ method, path, json }) => {
  if (method === 'GET') return { code: 0, data: [CLIENT] };
  return path.endsWith('_batch') ? { code: 0, data: (json as { topic: string }[]).map(({ topic }) => ({ topic, code: 0 })) } : { code: 0 };
};

beforeEach(() => {
  clock = NOW;
  pauses.length = 0;
});
afterEach(async () => {
  await emqx.close();
  await stub.stop();
});

test('openEmqx opens the client of EMQX 4 or 5', async () => {
  await start();
  const options = { url: urlOf(), apiKey: API_KEY, apiSecret: API_SECRET };
  const both = [openEmqx(4, options), openEmqx(5, options)];
  expect(both.map((each) => each.constructor)).toEqual([EmqxV4, EmqxV5]);
  await Promise.all(both.map((each) => each.close()));
});

describe('publishing to EMQX 4', () => {
  test("sends one message in EMQX 4's format, with the client id http_api", async () => {
    await start(there);
    const properties = {
      userProperties: { 'offline-msgid': 'A' },
      contentType: 'text/plain',
      responseTopic: 'r',
      messageExpiryInterval: 60,
    };
    expect(await emqx.publish([delivery('t/1', { payload: Buffer.from([0, 255]), qos: 2, properties })])).toEqual([
      { result: 'delivered', id: null },
    ]);
    expect(sent()).toEqual(['POST /mqtt/publish']);
    expect(stub.seen[0]?.json).toEqual({
      ...{ topic: 't/1', clientid: 'http_api', qos: 2, retain: false, encoding: 'base64', payload: 'AP8=' },
      properties: {
        user_properties: { 'offline-msgid': 'A' },
        content_type: 'text/plain',
        response_topic: 'r',
        message_expiry_interval: 60,
      },
    });
  });

  test('rejects only the bad messages of a batch', async () => {
    await start(() => ({
      code: 0,
      data: [
        { topic: 'a', code: 0 },
        { topic: 'b', code: 115 },
        { topic: 'c', code: 0 },
      ],
    }));
    expect(await emqx.publish(['a', 'b', 'c'].map((topic) => delivery(topic)))).toEqual([
      { result: 'delivered', id: null },
      { result: 'refused', reason: 'bad topic (code 115)' },
      { result: 'delivered', id: null },
    ]);
    expect(sent()).toEqual(['POST /mqtt/publish_batch']);
  });

  test("rejects a single bad message with EMQX's reason", async () => {
    await start(() => ({ code: 115, message: 'bad_topic' }));
    expect(await emqx.publish([delivery('a')])).toEqual([{ result: 'refused', reason: 'bad_topic (code 115)' }]);
  });

  test('retries only the messages with a transient error', async () => {
    let calls = 0;
    await start(({ json }) => ({
      code: 0,
      data: (Array.isArray(json) ? json : [json]).map((_, i) => ({ code: calls++ < 3 && i === 1 ? 101 : 0 })),
    }));
    expect(await emqx.publish(['a', 'b', 'c'].map((topic) => delivery(topic)))).toEqual(
      Array.from({ length: 3 }, () => ({ result: 'delivered', id: null })),
    );
    expect(stub.seen.map(({ json }) => [json].flat().map((entry) => (entry as Delivery).topic))).toEqual([['a', 'b', 'c'], ['b']]);
  });

  test.each<[string, Script, RegExp]>([
    ['a transient code', () => ({ code: 102, message: 'x' }), /^EMQX answered x \(code 102\)$/],
    ["an answer that is not EMQX's", () => ({ hello: 1 }), /^EMQX_URL: .*is it EMQX 4's REST base/],
    [
      'a wrong path',
      () => ({ status: 404 }),
      /^EMQX_URL: .*\/api\/v4 answered 404.*is it EMQX 4's REST base \(http:\/\/host:8081\/api\/v4\)\?$/,
    ],
  ])('retries, and then reports the error: %s', async (_, script, message) => {
    await start(script);
    await expect(emqx.publish([delivery('a')])).rejects.toThrow(message);
    expect(stub.seen).toHaveLength(4);
  });

  test('does not retry with a rejected key', async () => {
    await start(() => ({ status: 401 }));
    await expect(emqx.publish([delivery('a')])).rejects.toThrow(AuthError);
    expect(stub.seen).toHaveLength(1);
  });

  // EMQX 4 would publish to t/a and to b.
  test('rejects only a message whose topic has a comma, without asking EMQX', async () => {
    await start(there);
    const outcomes = await emqx.publish([delivery('t/a,b'), delivery('t/c')]);
    expect(outcomes).toEqual([
      { result: 'refused', reason: expect.stringMatching(/^the topic has a comma, .*EMQX 5$/) },
      { result: 'delivered', id: null },
    ]);
    expect(stub.seen.map(({ json }) => (json as Delivery).topic)).toEqual(['t/c']);
    expect((await emqx.publish([delivery(',')])).map(({ result }) => result)).toEqual(['refused']);
    expect(stub.seen).toHaveLength(1);
  });
});

describe('the check whether a client is connected to EMQX 4', () => {
  const by =
    (clients: Record<string, Reply>): Script =>
    (request) => {
      const [, clientid] = /\/clients\/(.*)$/.exec(request.path) ?? [];
      return clientid === undefined ? there(request) : (clients[decodeURIComponent(clientid)] ?? { code: 112, message: 'not_found' });
    };
  const client = (fields: object): Reply => ({ code: 0, data: [{ ...CLIENT, ...fields }] });

  test('asks once per client, and sends nothing to a disconnected one', async () => {
    await start(
      by({
        here: client({}),
        left: client({ connected: false }),
        away: client({ connected: false, expiry_interval: 300 }),
        none: { code: 0, data: [] },
      }),
    );
    const messages = ['here', 'left', 'away', 'none', 'unknown', 'here'].map((clientid, i) => to(clientid, `t/${i}`));
    expect((await emqx.publish(messages)).map(({ result }) => result)).toEqual([
      'delivered',
      'no-subscribers',
      'delivered',
      'no-subscribers',
      'no-subscribers',
      'delivered',
    ]);
    expect(sent().filter((each) => each === 'GET /clients/here')).toHaveLength(1);
    expect([stub.seen.at(-1)?.json].flat().map((entry) => (entry as Delivery).topic)).toEqual(['t/0', 't/2', 't/5']);
  });

  test('does not ask again within a second for a connected client', async () => {
    await start(by({ here: client({}) }));
    for (const ms of [0, 999, 1_000]) {
      clock = NOW + ms;
      await emqx.publish([to('here', 't')]);
    }
    expect(sent()).toEqual(['GET /clients/here', 'POST /mqtt/publish', 'POST /mqtt/publish', 'GET /clients/here', 'POST /mqtt/publish']);
  });

  test('asks each time for a client that was not connected', async () => {
    await start(by({}));
    for (let i = 0; i < 2; i++) expect(await emqx.publish([to('gone', 't')])).toEqual([{ result: 'no-subscribers' }]);
    expect(sent()).toEqual(['GET /clients/gone', 'GET /clients/gone']);
  });

  test('promise 20: an error about one client does not affect the others', async () => {
    await start(by({ here: client({}), odd: { status: 500 } }));
    const [first, second] = await emqx.publish([to('odd', 't/1'), to('here', 't/2')]);
    expect([first?.result, second?.result]).toEqual(['unsent', 'delivered']);
    await expect(emqx.publish([to('odd', 't/1')])).rejects.toThrow(RetryableError);
  });

  test('assumes that a client is connected whose id no path can hold', async () => {
    await start(there);
    expect(await emqx.publish([to('..', 't')])).toEqual([{ result: 'delivered', id: null }]);
    expect(sent()).toEqual(['POST /mqtt/publish']);
  });
});

describe("reading a client's session from EMQX 4", () => {
  const session =
    (fields: object, brokers: object = { datetime: '2026-11-26 13:00:20' }): Script =>
    ({ path }) =>
      path.endsWith('/brokers') ? { code: 0, data: [brokers] } : { code: 0, data: [{ ...CLIENT, ...fields }] };
  /** The stub's date header is of the time of day; EMQX's local time is an hour ahead of it. */
  const localNow = () => ({ datetime: new Date(Date.now() + 3_600_000).toISOString().slice(0, 19).replace('T', ' ') });
  const AT = Date.UTC(2026, 10, 26, 12, 0, 5);

  test("converts times from EMQX's local time with the help of GET /brokers", async () => {
    await start(session({}, localNow()));
    expect(await emqx.session('c')).toEqual({
      connected: true,
      connectedAt: AT,
      createdAt: AT,
      persistent: false,
      durable: false,
      queued: 7,
      inflight: 3,
    });
    await emqx.session('c');
    expect(sent()).toEqual(['GET /clients/c', 'GET /brokers', 'GET /clients/c']);
  });

  // Taken for new, what EMQX holds of it would be sent a second time.
  test.each([
    ['of the same second that outlives its connection is taken for resumed', { expiry_interval: 300 }, AT - 1_000],
    ['that is older than its connection is resumed', { expiry_interval: 300, created_at: '2026-11-26 12:59:00' }, AT - 65_000],
    ['that ends with its connection is new, even if one second older', { created_at: '2026-11-26 13:00:04' }, AT],
  ])('reads that a session %s', async (_, fields, createdAt) => {
    await start(session(fields, localNow()));
    expect(await emqx.session('c')).toMatchObject({ connectedAt: AT, createdAt });
  });

  test.each<[string, Reply, null]>([
    ['code 112', { code: 112 }, null],
    ['an empty list', { code: 0, data: [] }, null],
  ])('returns null when EMQX has no session: %s', async (_, reply, view) => {
    await start(() => reply);
    expect(await emqx.session('c')).toBe(view);
  });

  test.each<[string, Script]>([
    ['EMQX is down', () => ({ status: 503 })],
    ['the answer has no times', session({ created_at: null }, localNow())],
    ['EMQX does not report its local time', session({}, {})],
  ])('throws an error instead of null: %s', async (_, script) => {
    await start(script);
    await expect(emqx.session('c')).rejects.toThrow(RetryableError);
  });

  test('returns unknown for the held messages, which EMQX 4 cannot list', async () => {
    await start();
    expect(await emqx.held()).toEqual({ kind: 'unknown' });
    expect(stub.seen).toEqual([]);
  });
});

describe('subscribing a client in EMQX 4', () => {
  const codes =
    (...list: number[]): Script =>
    ({ json }) => ({ code: 0, data: (json as object[]).map((_, i) => ({ code: list[i] ?? 0 })) });
  const INBOX = { topic: '$offline/c/#', qos: 2 as const };

  test('sends the client id in each entry', async () => {
    await start(codes());
    expect(await emqx.subscribe('c', [INBOX])).toBe('subscribed');
    expect(await emqx.unsubscribeAll('c', ['a', 'b'])).toBe('unsubscribed');
    expect(sent()).toEqual(['POST /mqtt/subscribe_batch', 'POST /mqtt/unsubscribe_batch']);
    expect(stub.seen.map(({ json }) => json)).toEqual([
      [{ clientid: 'c', ...INBOX }],
      [
        { clientid: 'c', topic: 'a' },
        { clientid: 'c', topic: 'b' },
      ],
    ]);
  });

  test('returns not-connected for code 112', async () => {
    await start(codes(112));
    expect(await emqx.subscribe('c', [INBOX])).toBe('not-connected');
    expect(await emqx.subscribeAll('c', [INBOX])).toEqual({ connected: false, refused: [] });
    expect(await emqx.unsubscribeAll('c', ['a'])).toBe('not-connected');
  });

  test('reports rejected filters and those with a comma, and makes the others', async () => {
    await start(codes(0, 115));
    const [one, bad, comma] = ['a', 'b/##', 'c,d'].map((topic) => ({ topic, qos: 1 as const }));
    const { connected, refused } = await emqx.subscribeAll('c', [one!, bad!, comma!]);
    expect([connected, refused.map(({ subscription }) => subscription)]).toEqual([true, [comma, bad]]);
    expect([stub.seen[0]?.json].flat()).toHaveLength(2);
    await expect(emqx.subscribe('c', [comma!])).rejects.toThrow(RefusedError);
  });

  test('retries a subscription with a transient error', async () => {
    let calls = 0;
    await start(() => ({ code: 0, data: [{ code: calls++ === 0 ? 101 : 0 }] }));
    expect(await emqx.subscribe('c', [INBOX])).toBe('subscribed');
    expect(pauses).toHaveLength(1);
  });
});

describe('the health check of EMQX 4', () => {
  const NODE = { node: 'emqx@127.0.0.1', node_status: 'Running', version: '4.4.19' };

  test('shows the version', async () => {
    await start(() => ({ code: 0, data: [NODE] }));
    expect(await emqx.health()).toEqual({ ok: true, detail: 'EMQX 4.4.19' });
    expect(sent()).toEqual(['GET /nodes']);
  });

  test.each<[string, Script, RegExp]>([
    ['a refused key', () => ({ status: 401 }), /^EMQX_API_KEY \/ EMQX_API_SECRET: refused by EMQX \(401\).*AppID/],
    ['EMQX 5 behind the URL', () => ({ status: 404 }), /is it EMQX 4's REST base/],
    ['no running node', () => ({ code: 0, data: [{ ...NODE, node_status: 'Stopped' }] }), /^EMQX_URL: no EMQX node runs at/],
    ['an error', () => ({ code: 101, message: 'badrpc' }), /^EMQX answered badrpc \(code 101\)$/],
  ])('fails without a retry: %s', async (_, script, detail) => {
    await start(script);
    expect(await emqx.health()).toEqual({ ok: false, detail: expect.stringMatching(detail) });
    expect(stub.seen).toHaveLength(1);
  });
});
