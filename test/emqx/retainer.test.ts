import { RefusedError, RetryableError } from '../../src/base/errors';
import type { Answer } from './stub';
import { Stubbed } from './stubbed';

const on = new Stubbed();
const start = async (...script: Answer[]) => (await on.start(...script)).emqx.retainer;

const node = (uptime: unknown, node_status = 'running') => ({ node: 'n', version: '5.8.9', node_status, uptime });
const entry = (topic: string, publish_at: string) => ({ msgid: 'A', topic, qos: 1, publish_at, from_clientid: 'c', from_username: '' });
const page = (data: object[], hasnext: boolean) => ({ status: 200, body: { data, meta: { page: 1, limit: 100, hasnext } } });

test("the start time of EMQX is that of its oldest running node, by EMQX's clock", async () => {
  const retainer = await start({ status: 200, body: [node(5_000), node(60_000), node(900_000, 'stopped')] });
  const before = Date.now();
  const started = await retainer.startedAt();
  // A whole second: from the answer's Date.
  expect(started! + 60_000).toBeGreaterThan(before - 2_000);
  expect(started! + 60_000).toBeLessThanOrEqual(Date.now());
  expect(started! % 1_000).toBe(0);
});

test.each([[[]], [[node('5 days')]], [[node(undefined)]]])('the start time of EMQX is unknown when GET /nodes answers %j', async (body) => {
  expect(await (await start({ status: 200, body })).startedAt()).toBeNull();
});

test('the oldest retained message is found over pages, without $SYS topics', async () => {
  const retainer = await start(
    page([entry('$SYS/brokers', '2020-01-01T00:00:00+00:00')], true),
    page([entry('t/1', '2026-11-21T10:00:00.250+01:00'), entry('t/2', '2026-11-21T09:00:00.100+00:00')], true),
  );
  expect(await retainer.oldest()).toBe(Date.UTC(2026, 10, 21, 9, 0, 0, 100));
  expect(on.stub.seen.map(({ path }) => path)).toEqual([
    '/api/v5/mqtt/retainer/messages?page=1&limit=100',
    '/api/v5/mqtt/retainer/messages?page=2&limit=100',
  ]);
});

test('no oldest retained message is found when only $SYS topics exist', async () => {
  expect(await (await start(page([entry('$SYS/brokers', '2020-01-01T00:00:00+00:00')], false))).oldest()).toBeNull();
  await on.stub.stop();
  await on.client.emqx.close();
  // Without hasnext: a page that is not full is the last.
  expect(await (await start({ status: 200, body: { data: [], meta: { page: 1, limit: 100, count: 0 } } })).oldest()).toBeNull();
});

test('an unreadable time of a retained message is an error', async () => {
  const retainer = await start(page([entry('t', 'yesterday')], false));
  await expect(retainer.oldest()).rejects.toThrow(RetryableError);
});

test('the retained message of a topic is read under its percent-encoded name', async () => {
  const retainer = await start(
    { status: 200, body: { ...entry('a/ü %', 'x'), msgid: 'ABC', payload: '' } },
    { status: 404, body: { code: 'NOT_FOUND' } },
  );
  expect(await retainer.idOf('a/ü %')).toBe('ABC');
  expect(await retainer.idOf('b')).toBeNull();
  expect(on.stub.seen.map(({ path }) => path)).toEqual([
    '/api/v5/mqtt/retainer/message/a%2F%C3%BC%20%25',
    '/api/v5/mqtt/retainer/message/b',
  ]);
});

test('the state of the retainer is read', async () => {
  const retainer = await start({ status: 200, body: { enable: true } }, { status: 200, body: { enable: false } });
  expect([await retainer.isOn(), await retainer.isOn()]).toEqual([true, false]);
});

// Nothing is missing that EMQX only did not tell: a restore would replace what it has.
test.each<[string, Answer, new (...args: never[]) => Error]>([
  ['EMQX is down', { status: 503 }, RetryableError],
  ['EMQX_URL has a wrong path', { status: 404, body: { code: 'API_KEY_NOT_FOUND' } }, RetryableError],
  ['the server is not EMQX', { status: 200, body: '<html></html>' }, RetryableError],
  [
    'the retainer uses another database',
    { status: 400, body: { code: 'BAD_REQUEST', message: 'This API only support built in database' } },
    RefusedError,
  ],
])('every request about retained messages fails: %s', async (_, answer, kind) => {
  const retainer = await start(answer);
  for (const ask of [() => retainer.idOf('t'), () => retainer.oldest(), () => retainer.isOn(), () => retainer.startedAt()])
    await expect(ask()).rejects.toThrow(kind);
});
