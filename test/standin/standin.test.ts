import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { waitFor } from '../support/wait';
import { EmqxStandIn } from './index';
import type { BrokerEvent } from './broker';
import { Rule } from './rule';

interface Fixture {
  readonly event: string;
  readonly case: string;
  readonly body: Record<string, unknown>;
}

const { events: fixtures } = JSON.parse(readFileSync(join(__dirname, '../fixtures/events-5.8.9.json'), 'utf8')) as { events: Fixture[] };
const measured = (event: string, text: string) => fixtures.find((each) => each.event === event && each.case.includes(text))!.body;
const everything = new Rule(null, [
  '#',
  't/#',
  ...['client_connected', 'client_disconnected', 'session_subscribed', 'session_unsubscribed'].map((name) => `$events/${name}`),
  ...['message_delivered', 'message_acked', 'message_dropped', 'delivery_dropped'].map((name) => `$events/${name}`),
]);

describe('the stand-in for EMQX', () => {
  let emqx: EmqxStandIn;
  const clients: MqttClient[] = [];
  const connect = async (clientId: string, options: object = {}) => {
    const client = await connectAsync(emqx.mqttUrl, { clientId, reconnectPeriod: 0, ...options });
    clients.push(client);
    return client;
  };
  const fired = (event: string, clientid?: string) =>
    waitFor(event, () => emqx.events.find((each) => each.event === event && (clientid === undefined || each['clientid'] === clientid)));
  const api = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(`${emqx.apiUrl}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}`,
      },
      body: JSON.stringify(body),
      ...init,
    });

  beforeEach(async () => {
    emqx = await EmqxStandIn.start({ inflight: 2, queue: 3 });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
    await emqx.stop();
  });

  /** Same keys, same kinds of values. */
  const shape = (body: Record<string, unknown>) =>
    Object.fromEntries(
      Object.keys(body)
        .sort()
        .map((key) => [key, typeof body[key]]),
    );
  const looksLike = (event: BrokerEvent, body: Record<string, unknown>) => expect(shape(everything.apply(event)!)).toEqual(shape(body));

  it('has events in the recorded form', async () => {
    const subscriber = await connect('dev/a+1', { username: 'u1' });
    await subscriber.subscribeAsync('t/1', { qos: 1 });
    const publisher = await connect('pub5', { protocolVersion: 5 });
    await publisher.publishAsync('t/1', '{"msg":"hello"}', { qos: 1 });
    await publisher.publishAsync('t/nobody', 'x', { qos: 1 });
    looksLike(await fired('message.acked'), measured('message.acked', 'live delivery'));
    await subscriber.unsubscribeAsync('t/1');
    await subscriber.endAsync();
    looksLike(await fired('client.connected'), measured('client.connected', 'clean'));
    looksLike(await fired('session.subscribed'), measured('session.subscribed', 'exact'));
    looksLike(await fired('message.publish'), measured('message.publish', 'text qos1'));
    looksLike(await fired('message.delivered'), measured('message.delivered', 'live delivery'));
    looksLike(await fired('message.dropped'), measured('message.dropped', 'no subscribers'));
    looksLike(await fired('session.unsubscribed'), measured('session.unsubscribed', 'exact'));
    looksLike(await fired('client.disconnected'), measured('client.disconnected', 'normal'));
  });

  it('gives an id to a client that connects without one', async () => {
    await connect('', { protocolVersion: 5 });
    const { clientid } = await fired('client.connected');
    expect(clientid).toMatch(/^[\w-]{22}$/);
  });

  it('fires the rule again for what REST publishes', async () => {
    await (await connect('s')).subscribeAsync('t/1', { qos: 1 });
    const properties = { user_properties: { 'offline-msgid': 'ABC' }, message_expiry_interval: 100, content_type: 'x/y' };
    expect((await api('/publish', { topic: 't/1', qos: 1, payload: 'AP/+gA==', payload_encoding: 'base64', properties })).status).toBe(200);
    const event = await fired('message.publish', 'http_api');
    looksLike(event, measured('message.publish', 'republished by REST'));
    expect(everything.apply(event)).toMatchObject({
      payload: expect.stringContaining('\ufffd') as string,
      username: 'undefined',
      peername: 'undefined',
    });
    expect(await fired('message.acked')).toMatchObject({ pub_props: { 'User-Property': { 'offline-msgid': 'ABC' } } });
  });

  it('answers as EMQX was measured', async () => {
    expect(await (await api('/publish', { topic: 't/none', qos: 1, payload: 'x' })).json()).toEqual({
      reason_code: 16,
      message: 'no_matching_subscribers',
    });
    expect((await api('/publish', { topic: 't/+', qos: 1, payload: 'x' })).status).toBe(400);
    expect(await (await api('/publish', { topic: 't', payload: 'x'.repeat(1_048_576) })).json()).toMatchObject({ reason_code: 151 });
    expect((await api('/publish/bulk', [])).status).toBe(500);
    const bulk = await api('/publish/bulk', [
      { topic: 't/1', payload: 'x' },
      { topic: '#', payload: 'y' },
    ]);
    expect(bulk.status).toBe(400);
    expect(emqx.rest.publishes).toHaveLength(1);
    expect((await api('/clients/nobody/subscribe', { topic: 't', qos: 1 })).status).toBe(404);
    expect((await api('/publish', {}, { headers: {} })).status).toBe(401);
    expect((await api('/configs?mode=merge', {}, { method: 'PUT' })).status).toBe(500);
    expect((await api('/publish', { topic: 't', payload: 'x', properties: { correlation_data: '\u0001x' } })).status).toBe(400);
  });

  it('gives overlapping subscriptions two deliveries with one id, and a shared group one', async () => {
    const client = await connect('overlap');
    await client.subscribeAsync(['t/1', 't/#'], { qos: 1 });
    await (await connect('m1')).subscribeAsync('$share/g/t/1', { qos: 1 });
    await (await connect('m2')).subscribeAsync('$share/g/t/1', { qos: 1 });
    await client.publishAsync('t/1', 'x', { qos: 1 });
    const acks = await waitFor('three acks', () => {
      const all = emqx.events.filter(({ event }) => event === 'message.acked');
      return all.length === 3 ? all : null;
    });
    expect(new Set(acks.map(({ id }) => id)).size).toBe(1);
    expect(acks.filter(({ clientid }) => clientid === 'overlap')).toHaveLength(2);
  });

  it('drops the oldest when a session queue is full', async () => {
    const slow = await connect('slow');
    slow.handleMessage = () => undefined;
    await slow.subscribeAsync('t/1', { qos: 1 });
    for (let i = 0; i < 7; i++) await api('/publish', { topic: 't/1', qos: 1, payload: `m${i}` });
    // Two in flight, three waiting: m2 and m3 had to go.
    expect(emqx.dropped().map((event) => [String(event['payload']), event['reason']])).toEqual([
      ['m2', 'queue_full'],
      ['m3', 'queue_full'],
    ]);
  });

  it('keeps a persistent session and fires no session.subscribed when it resumes', async () => {
    const options = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 300 } };
    const first = await connect('pers', options);
    await first.subscribeAsync('t/p', { qos: 1 });
    await first.endAsync();
    await api('/publish', { topic: 't/p', qos: 1, payload: 'kept' });
    const before = emqx.events.filter(({ event }) => event === 'session.subscribed').length;
    await connect('pers', options);
    expect(await fired('message.acked', 'pers')).toMatchObject({ topic: 't/p' });
    expect(emqx.events.filter(({ event }) => event === 'session.subscribed')).toHaveLength(before);
  });
});
