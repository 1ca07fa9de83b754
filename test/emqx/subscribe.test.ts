import { AuthError } from '../../src/emqx/api';
import { RefusedError, RetryableError } from '../../src/base/errors';
import type { Answer } from './stub';
import { Stubbed } from './stubbed';

const NOT_FOUND = { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };
const INBOX = { topic: '$offline/c/#', qos: 2 } as const;
const OTHER = { topic: 't/1', qos: 1 } as const;

const on = new Stubbed();
const start = async (...script: Answer[]) => (await on.start(...script)).emqx;

test('one subscription is sent to /subscribe', async () => {
  const emqx = await start({ status: 200, body: { ...INBOX, clientid: 'c', node: 'n' } });
  expect(await emqx.subscribe('c', [INBOX])).toBe('subscribed');
  expect(on.stub.seen).toMatchObject([{ method: 'POST', path: '/api/v5/clients/c/subscribe', json: INBOX }]);
});

test('several subscriptions are sent to /subscribe/bulk', async () => {
  const emqx = await start({ status: 200, body: [] });
  expect(await emqx.subscribe('c', [INBOX, OTHER])).toBe('subscribed');
  expect(on.stub.seen).toMatchObject([{ path: '/api/v5/clients/c/subscribe/bulk', json: [INBOX, OTHER] }]);
});

test('an empty list of subscriptions sends no request', async () => {
  const emqx = await start({ status: 500 });
  expect(await emqx.subscribe('c', [])).toBe('subscribed');
  expect(on.stub.seen).toEqual([]);
});

test.each(['a/b', 'a+b', 'a#b', 'a b', 'a%2Fb', '"q"', 'ü?&='])('the client id %j is percent-encoded in the path', async (clientid) => {
  const emqx = await start({ status: 200, body: {} });
  await emqx.subscribe(clientid, [INBOX]);
  const [, encoded] = /^\/api\/v5\/clients\/([^/]+)\/subscribe$/.exec(on.stub.seen[0]?.path ?? '') ?? [];
  expect(decodeURIComponent(encoded ?? '')).toBe(clientid);
});

test('a client that is not connected is no error', async () => {
  const emqx = await start(NOT_FOUND);
  expect(await emqx.subscribe('c', [INBOX])).toBe('not-connected');
  expect(on.client.pauses).toEqual([]);
});

test('a client that disconnects during a bulk counts as not connected', async () => {
  const failed = [{ data: ['c', 't/1', {}], reason: 'channel_not_found' }];
  const emqx = await start({ status: 200, body: { succeed: [INBOX], failed } });
  expect(await emqx.subscribe('c', [INBOX, OTHER])).toBe('not-connected');
});

test('a partially failed bulk of subscriptions is retried', async () => {
  const failed = [{ data: ['c', 't/1', {}], reason: 'timeout' }];
  const emqx = await start({ status: 200, body: { succeed: [INBOX], failed } }, { status: 200, body: [INBOX, OTHER] });
  expect(await emqx.subscribe('c', [INBOX, OTHER])).toBe('subscribed');
  expect(on.client.pauses).toEqual([200]);
});

test('a 404 without CLIENTID_NOT_FOUND is reported as a wrong EMQX_URL', async () => {
  const emqx = await start({ status: 404, body: { code: 'NOT_FOUND', message: 'no such path' } });
  await expect(emqx.subscribe('c', [INBOX])).rejects.toThrow(/^EMQX_URL: .* answered 404/);
});

test('a subscription that EMQX rejects is a RefusedError', async () => {
  const emqx = await start({ status: 400, body: { code: 'INVALID_PARAMETER', message: 'no_local' } });
  await expect(emqx.subscribe('c', [INBOX])).rejects.toThrow(RefusedError);
  expect(on.client.pauses).toEqual([]);
});

test('transient errors are retried, and a rejected key is an AuthError', async () => {
  const emqx = await start({ status: 502, body: 'bad gateway' }, { status: 401, body: { code: 'BAD_API_KEY_OR_SECRET' } });
  await expect(emqx.subscribe('c', [INBOX])).rejects.toThrow(AuthError);
  expect(on.client.pauses).toEqual([200]);
  await expect(emqx.subscribe('c', [INBOX])).rejects.toThrow(RetryableError);
});
