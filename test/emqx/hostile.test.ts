import { RefusedError } from '../../src/base/errors';
import { HOSTILE } from '../support/hostile';
import { clientOf, type TestClient } from './client';
import { Stub } from './stub';

const INBOX = { topic: 't', qos: 1 } as const;
/** EMQX's HTTP server has no path for these, however they are encoded. */
const UNREACHABLE = ['.', '..', 'x'.repeat(7_801), '漢'.repeat(2_000), '%'.repeat(65_535)];

let stub: Stub;
let client: TestClient;
beforeEach(async () => {
  stub = await Stub.start(({ method, path }) => {
    if (path.includes('/retainer/')) return { status: 404, body: { code: 'NOT_FOUND' } };
    if (method === 'POST') return { status: 200, body: [] };
    return path.includes('_messages?') ? { status: 200, body: { data: [] } } : { status: 404, body: { code: 'CLIENTID_NOT_FOUND' } };
  });
  client = clientOf(stub.url);
});
afterEach(async () => {
  await client.emqx.close();
  await stub.stop();
});

test.each([...HOSTILE, 'x'.repeat(7_800)].filter((text) => !UNREACHABLE.includes(text)))(
  'a client id or topic is exactly one segment of the REST path: %p',
  async (text) => {
    const { emqx } = client;
    await emqx.subscribe(text, [INBOX]);
    await emqx.subscribeAll(text, [INBOX]);
    await emqx.unsubscribeAll(text, ['t']);
    await emqx.retainer?.idOf(text);
    expect(await emqx.session(text)).toBeNull();
    await emqx.held(text);
    const paths = stub.seen.map(({ path }) => path);
    const [first = ''] = /(?<=^\/api\/v5\/clients\/)[^/?#]+(?=\/subscribe$)/.exec(paths[0] ?? '') ?? [];
    expect(decodeURIComponent(first)).toBe(text);
    expect(paths).toEqual([
      `/api/v5/clients/${first}/subscribe`,
      `/api/v5/clients/${first}/subscribe/bulk`,
      `/api/v5/clients/${first}/unsubscribe/bulk`,
      `/api/v5/mqtt/retainer/message/${first}`,
      `/api/v5/clients/${first}`,
      `/api/v5/clients/${first}/mqueue_messages?payload=none&limit=1000`,
      `/api/v5/clients/${first}/inflight_messages?payload=none&limit=1000`,
    ]);
    // As any server along the way understands it.
    expect(new URL(`http://emqx${paths[0]}`).pathname).toBe(paths[0]);
  },
);

// A RetryableError instead would be tried for ever: whoever connects as `..` would stop the lane of a quarter of all clients.
test.each(UNREACHABLE.map((text) => [text.slice(0, 10), text]))(
  'a client id or topic that no REST path can hold is rejected without a request: %p',
  async (_, text) => {
    const { emqx } = client;
    await expect(emqx.subscribe(text, [INBOX])).rejects.toThrow(RefusedError);
    expect(await emqx.subscribeAll(text, [INBOX])).toMatchObject({
      connected: false,
      refused: [{ subscription: INBOX, reason: expect.stringContaining('no path') as string }],
    });
    expect(await emqx.unsubscribeAll(text, ['t'])).toBe('not-connected');
    await expect(emqx.retainer?.idOf(text)).rejects.toThrow(RefusedError);
    await expect(emqx.session(text)).rejects.toThrow(RefusedError);
    expect(await emqx.held(text)).toEqual({ kind: 'unknown' });
    expect([stub.seen, client.pauses]).toEqual([[], []]);
  },
);
