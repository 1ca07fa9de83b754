import { AuthError, type HeldView } from '../../src/emqx/api';
import { RetryableError } from '../../src/base/errors';
import { MOST_HELD } from '../../src/emqx/v5-sessions';
import type { Answer, SeenRequest } from './stub';
import { Stubbed } from './stubbed';
import { unanswered } from './unanswered';

const NO_CLIENT: Answer = { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };
const EMPTY: Answer = { status: 200, body: { data: [], meta: { start: 'none', position: 'none' } } };

const on = new Stubbed();
const start = async (...script: Answer[]) => (await on.start(...script)).emqx;
const paths = () => on.stub.seen.map(({ method, path }) => `${method} ${path.replace('/api/v5/clients/', '')}`);

describe("reading a client's session", () => {
  const client = {
    ...{ clientid: 'c', connected: false, created_at: '2026-11-26T10:00:00.250+01:00', connected_at: '2026-11-26T10:00:05.000+01:00' },
    ...{
      clean_start: false,
      expiry_interval: 300,
      is_persistent: true,
      mqueue_len: 7,
      mqueue_max: 1000,
      inflight_cnt: 3,
      inflight_max: 32,
    },
  };

  test('returns a session that outlived its connection, with times in ms', async () => {
    const emqx = await start({ status: 200, body: client });
    expect(await emqx.session('c')).toEqual({
      ...{ connected: false, createdAt: Date.UTC(2026, 10, 26, 9, 0, 0, 250), connectedAt: Date.UTC(2026, 10, 26, 9, 0, 5) },
      ...{ persistent: true, durable: false, queued: 7, inflight: 3 },
    });
    expect(paths()).toEqual(['GET c']);
  });

  test.each([
    [
      { connected: true, expiry_interval: 0, is_persistent: false },
      { connected: true, persistent: false },
    ],
    [
      { connected: true, expiry_interval: 60, is_persistent: false, clean_start: true },
      { connected: true, persistent: true },
    ],
    [{ expiry_interval: 0, is_persistent: true }, { persistent: false }],
    [{ expiry_interval: undefined, is_persistent: true }, { persistent: true }],
    [{ mountpoint: 'users/u1/' }, { mountpoint: 'users/u1/' }],
    [
      { durable: true, mqueue_len: null, inflight_cnt: undefined },
      { durable: true, queued: 0, inflight: 0 },
    ],
  ])('translates %j to %j', async (fields, view) => {
    const emqx = await start({ status: 200, body: { ...client, ...fields } });
    expect(await emqx.session('c')).toMatchObject(view);
  });

  test('returns null when EMQX has no session, without a retry', async () => {
    const emqx = await start(NO_CLIENT, { status: 200, body: { ...client, durable: true, is_expired: true } });
    expect([await emqx.session('c'), await emqx.session('c')]).toEqual([null, null]);
    expect(on.client.pauses).toEqual([]);
  });

  // null would have what EMQX holds sent again.
  test.each<[string, Answer, new (...args: never[]) => Error]>([
    ['EMQX is down', { status: 503 }, RetryableError],
    ['EMQX_URL has a wrong path', { status: 404, body: { code: 'NOT_FOUND' } }, RetryableError],
    ['the server is not EMQX', { status: 200, body: '<html></html>' }, RetryableError],
    ['the answer has no times', { status: 200, body: { ...client, created_at: null } }, RetryableError],
    ['the key has no permission', { status: 403, body: { code: 'UNAUTHORIZED_ROLE' } }, AuthError],
  ])('throws an error instead of null: %s', async (_, answer, kind) => {
    await expect((await start(answer)).session('c')).rejects.toThrow(kind);
  });
});

/** An EMQX that holds so many messages in a client's queue and in flight, and pages them as its source does. */
function emqxThatHolds(queued: number, inflight: number): (request: SeenRequest) => { status: number; body: unknown } {
  return ({ path }) => {
    const url = new URL(path, 'http://emqx');
    const queue = url.pathname.endsWith('mqueue_messages');
    const from = Number((url.searchParams.get('position') ?? '-1').split('_')[0]) + 1;
    const to = Math.min(queue ? queued : inflight, from + Number(url.searchParams.get('limit')));
    const data = Array.from({ length: to - from }, (_, i) => ({
      msgid: `${queue ? 'Q' : 'I'}${from + i}`,
      topic: 't',
      qos: 1,
      from_clientid: 'p',
      inserted_at: '1',
    }));
    const end = queue ? `${to - 1}_0` : String(to - 1);
    return { status: 200, body: { data, meta: { start: queue ? '0_0' : '0', position: to === 0 ? 'none' : end } } };
  };
}

const idsOf = (held: HeldView): string[] => (held.kind === 'list' ? held.messages.map(({ id }) => id) : []);

describe('listing the messages that EMQX holds for a client', () => {
  test('returns queued and in-flight messages without payloads', async () => {
    const entry = {
      msgid: 'A1',
      topic: 't/1',
      qos: 1,
      publish_at: 1795731080711,
      from_clientid: 'tr-pub',
      from_username: 'undefined',
      inserted_at: '1795731080711000000',
    };
    const emqx = await start(
      { status: 200, body: { data: [{ ...entry, mqueue_priority: 0 }], meta: { start: '1_0', position: '1_0' } } },
      { status: 200, body: { data: [{ ...entry, msgid: 'B2', from_clientid: 'http_api' }], meta: { start: '1', position: '1' } } },
    );
    const messages = [
      { id: 'A1', topic: 't/1', from: 'tr-pub' },
      { id: 'B2', topic: 't/1', from: 'http_api' },
    ];
    expect(await emqx.held('c')).toEqual({ kind: 'list', messages, complete: true });
    expect(on.client.pauses).toEqual([]);
  });

  test('reads the queue first, so that a moving message is never missed', async () => {
    let queue = ['A', 'B'];
    let inflight = ['0'];
    const emqx = await start(({ path }) => {
      const data = (path.includes('mqueue') ? queue : inflight).map((msgid) => ({ msgid, topic: 't', from_clientid: 'p' }));
      // The client acknowledges between the two.
      [queue, inflight] = [['B'], ['A']];
      return { status: 200, body: { data, meta: { start: '1', position: '1' } } };
    });
    expect(await emqx.held('c')).toMatchObject({ messages: [{ id: 'A' }, { id: 'B' }, { id: 'A' }] });
  });

  test('reads all pages of both lists', async () => {
    const emqx = await start(emqxThatHolds(1_000, 3));
    const held = await emqx.held('c');
    expect(held).toMatchObject({ kind: 'list', complete: true });
    expect(idsOf(held)).toEqual([...Array.from({ length: 1_000 }, (_, i) => `Q${i}`), 'I0', 'I1', 'I2']);
    expect(paths()).toEqual([
      'GET c/mqueue_messages?payload=none&limit=1000',
      'GET c/mqueue_messages?payload=none&limit=1000&position=999_0',
      'GET c/inflight_messages?payload=none&limit=1000',
    ]);
  });

  test.each([
    [MOST_HELD, 0, true],
    [MOST_HELD, 1, false],
    [MOST_HELD - 5, 5, true],
    [5, MOST_HELD, false],
    [100_000, 5, false],
  ])('of %i queued and %i in-flight messages is complete: %p', async (queued, inflight, complete) => {
    const emqx = await start(emqxThatHolds(queued, inflight));
    const held = await emqx.held('c');
    expect(held).toMatchObject({ kind: 'list', complete });
    expect(idsOf(held)).toHaveLength(MOST_HELD);
    expect(on.stub.seen.length).toBeLessThanOrEqual(5);
  });

  test('treats a full page without a position as the last', async () => {
    const full = { status: 200, body: { data: Array.from({ length: 1_000 }, (_, i) => ({ msgid: String(i), topic: 't' })), meta: {} } };
    expect(await (await start(full, EMPTY)).held('c')).toMatchObject({ complete: true });
    expect(on.stub.seen).toHaveLength(2);
  });

  test('returns no-client, even when the client disconnects between the requests', async () => {
    const emqx = await start(NO_CLIENT, EMPTY, NO_CLIENT);
    expect([await emqx.held('c'), await emqx.held('c')]).toEqual([{ kind: 'no-client' }, { kind: 'no-client' }]);
    expect(on.client.pauses).toEqual([]);
  });

  test.each<[string, Answer]>([
    ['before 5.7: no such route', { status: 404, body: { code: 'NOT_FOUND', message: 'Request Path Not Found' } }],
    ['before 5.7: a 404 without a body', { status: 404 }],
    ['a durable session', { status: 501, body: { code: 'NOT_IMPLEMENTED', message: 'API not implemented for persistent sessions' } }],
    ['a query that it does not know', { status: 400, body: { code: 'BAD_REQUEST', message: 'not implemented' } }],
    ['the key has no permission', { status: 403, body: { code: 'UNAUTHORIZED_ROLE' } }],
  ])('returns unknown without a retry: %s', async (_, answer) => {
    const emqx = await start(answer, EMPTY, answer);
    expect(await emqx.held('c')).toEqual({ kind: 'unknown' });
    expect([on.stub.seen.length, on.client.pauses]).toEqual([1, []]);
    // Half a list would say that the rest is gone.
    expect(await emqx.held('c')).toEqual({ kind: 'unknown' });
  });

  test('retries when the connection ends during the request', async () => {
    const emqx = await start({ status: 404, body: { code: 'CLIENT_SHUTDOWN', message: 'Client connection has been shutdown' } }, EMPTY);
    expect(await emqx.held('c')).toEqual({ kind: 'list', messages: [], complete: true });
    expect(on.client.pauses).toEqual([200]);
  });

  test.each<[string, Answer]>([
    ['the server is not EMQX', { status: 200, body: '<html></html>' }],
    ['an entry without its id', { status: 200, body: { data: [{ topic: 't' }], meta: {} } }],
    ['a wrong key', { status: 401, body: { code: 'BAD_API_KEY_OR_SECRET' } }],
  ])('throws an error instead of an empty list: %s', async (_, answer) => {
    await expect((await start(answer)).held('c')).rejects.toThrow(RetryableError);
  });

  test('retries transient errors and lost or late answers', async () => {
    const emqx = await start({ status: 502 }, 'reset', 'hang', EMPTY);
    expect(await unanswered(on.stub, 3, () => emqx.held('c'))).toMatchObject({ kind: 'list' });
    expect(on.client.pauses).toEqual([200, 400, 800]);
  });

  test('ends with the reason of an aborted signal', async () => {
    const emqx = await start('hang');
    const stop = new AbortController();
    const failed = expect(emqx.held('c', stop.signal)).rejects.toThrow('shutting down');
    await on.stub.received(1);
    stop.abort(new Error('shutting down'));
    await failed;
  });
});

describe("the question whether EMQX's message queues are enabled", () => {
  // EMQX 6's own answers (its source): 503 where they are not enabled.
  test.each([
    ['run', { status: 200, body: { data: [], meta: { hasnext: false } } }, true],
    ['are not enabled', { status: 503, body: { code: 'SERVICE_UNAVAILABLE', message: 'Not enabled' } }, false],
    ['are unknown to EMQX 5', { status: 404, body: { code: 'NOT_FOUND' } }, false],
    ['may not be read with this key', { status: 403, body: { code: 'UNAUTHORIZED_ROLE' } }, false],
  ])('is asked once a minute when they %s', async (_, answer, run) => {
    const emqx = await start(answer);
    expect([await emqx.messageQueues(), await emqx.messageQueues()]).toEqual([run, run]);
    expect(on.stub.seen.map(({ path }) => path)).toEqual(['/api/v5/message_queues/queues?limit=1']);
  });

  test('is repeated after an error of EMQX', async () => {
    const emqx = await start({ status: 502 }, { status: 200, body: { data: [] } });
    await expect(emqx.messageQueues()).rejects.toThrow(RetryableError);
    expect(await emqx.messageQueues()).toBe(true);
  });
});
