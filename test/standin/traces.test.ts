import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait';
import { EmqxStandIn } from './index';
import { ackGroups, comparable, eventsOf, traceOf, type Timed } from './trace';

/** The stand-in does what the traces of a live EMQX 5.8.9 show, with the same clients. */
describe("the stand-in's sessions, compared with EMQX's traces", () => {
  let emqx: EmqxStandIn;
  let events: Timed[];
  let received: Record<string, unknown>[];
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    [events, received] = [[], []];
    emqx = await EmqxStandIn.start();
    emqx.broker.on('event', (event) => events.push({ ms: performance.now(), event }));
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
    await emqx.stop();
  });

  const PERSISTENT: IClientOptions = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 300 } };

  async function join(clientId: string, options: IClientOptions = {}, acknowledges = true): Promise<MqttClient> {
    const client = connect(emqx.mqttUrl, { clientId, reconnectPeriod: 0, protocolVersion: 5, ...options });
    clients.push(client);
    client.on('error', () => undefined);
    if (!acknowledges) client.handleMessage = () => undefined;
    client.on('message', (topic, payload, { qos, retain, dup }) =>
      received.push({ by: clientId, topic, payload: payload.toString(), qos, retain, dup }),
    );
    await new Promise((resolve) => client.once('connect', resolve));
    return client;
  }
  const publish = async (topic: string, texts: string[], options: object = {}): Promise<void> => {
    const publisher = clients.find((each) => each.options.clientId === 'tr-pub') ?? (await join('tr-pub'));
    for (const text of texts) await publisher.publishAsync(topic, text, { qos: 1, ...options });
  };
  const api = async (method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}`,
    };
    const answer = await fetch(`${emqx.apiUrl}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    return { status: answer.status, json: await answer.json() };
  };
  const list = async (path: string) => {
    const { status, json } = await api('GET', `${path}?payload=none&limit=100`);
    return { path, status, msgids: (json as { data: { msgid: string }[] }).data.map(({ msgid }) => msgid) };
  };
  const count = (name: string) => events.filter(({ event }) => event.event === name).length;
  const fired = (name: string, times = 1) => waitFor(`${times} ${name}`, () => count(name) >= times);
  /** It leaves, and the scenario is over. */
  const leaves = async (client: MqttClient) => {
    const before = count('client.disconnected');
    await client.endAsync();
    await fired('client.disconnected', before + 1);
  };
  const visit = async (clientId: string, topic: string, options: IClientOptions = PERSISTENT) => {
    const client = await join(clientId, options);
    await client.subscribeAsync(topic, { qos: 1 });
    await leaves(client);
  };
  /** @returns the trace's events. */
  const sameAs = (name: string): Timed[] => {
    const traced = eventsOf(traceOf(name));
    expect(comparable(events)).toEqual(comparable(traced));
    return traced;
  };
  const receivedAsIn = (name: string) => expect(received).toEqual(traceOf(name).steps.flatMap((step) => step.received ?? []));

  test('a resumed session sends 5 queued messages, with acknowledgement events in two groups', async () => {
    const name = 'persistent session resumes with 5';
    await visit('tr-p1', 'trace/1');
    await publish('trace/1', ['m0', 'm1', 'm2', 'm3', 'm4']);
    const lists = [await list('/clients/tr-p1/mqueue_messages'), await list('/clients/tr-p1/inflight_messages')];
    const client = await join('tr-p1', PERSISTENT);
    await fired('message.acked', 5);
    await client.subscribeAsync('trace/1', { qos: 1 });
    await leaves(client);
    const traced = sameAs(name);
    receivedAsIn(name);
    expect([ackGroups(events), ackGroups(traced)]).toEqual([
      [1, 4],
      [1, 4],
    ]);
    const ids = events.flatMap(({ event }) => (event.event === 'message.publish' ? [event['id']] : []));
    expect(lists).toEqual(
      traceOf(name).steps.flatMap(({ rest }) => (rest === undefined ? [] : [{ ...rest, msgids: rest.msgids.map((_, i) => ids[i]) }])),
    );
  });

  test('the event of an immediate SUBSCRIBE precedes most acknowledgement events', async () => {
    await visit('eager', 't');
    await publish(
      't',
      Array.from({ length: 30 }, (_, i) => `m${i}`),
    );
    const client = await join('eager', PERSISTENT);
    await client.subscribeAsync('t', { qos: 1 });
    await fired('message.acked', 30);
    const names = events.map(({ event }) => event.event);
    expect(names.slice(names.lastIndexOf('session.subscribed')).filter((each) => each === 'message.acked').length).toBeGreaterThan(20);
    // EMQX has no more of them, though it has not told.
    expect(
      events
        .filter(({ event }) => event.event === 'message.acked')
        .map(({ event }) => event['payload'])
        .map(String),
    ).toEqual(received.map(({ payload }) => payload));
  });

  test('late acknowledgement events are sent when the connection ends', async () => {
    await visit('brief', 't');
    await publish('t', ['a', 'b', 'c']);
    emqx.broker.lateAcksMs = 60_000;
    const client = await join('brief', PERSISTENT);
    await waitFor('late events', () => emqx.broker.lateEvents === 2);
    expect([emqx.pending, await list('/clients/brief/inflight_messages')]).toMatchObject([2, { msgids: [] }]);
    // No part of the resume: its acknowledgement comes after theirs all the same.
    await publish('t', ['d']);
    await waitFor('one more', () => emqx.broker.lateEvents === 3);
    await leaves(client);
    expect(events.slice(-4).map(({ event }) => [event.event, String(event['payload'])])).toEqual([
      ...['b', 'c', 'd'].map((text) => ['message.acked', text]),
      ['client.disconnected', 'undefined'],
    ]);
    expect(emqx.pending).toBe(0);
  });

  test('a persistent session resumes without a SUBSCRIBE', async () => {
    await visit('tr-p2', 'trace/2');
    await publish('trace/2', ['x']);
    const client = await join('tr-p2', PERSISTENT);
    await fired('message.acked');
    await leaves(client);
    sameAs('persistent session resumes, no SUBSCRIBE');
  });

  test('an unacknowledged message is sent again with DUP after a lost connection', async () => {
    const first = await join('tr-p3', PERSISTENT, false);
    await first.subscribeAsync('trace/3', { qos: 1 });
    await publish('trace/3', ['x']);
    await waitFor('the message', () => received.length === 1);
    first.stream.destroy();
    await fired('client.disconnected');
    const second = await join('tr-p3', PERSISTENT);
    await fired('message.acked');
    await leaves(second);
    sameAs('connection lost with one message');
    expect(received.map(({ dup }) => dup)).toEqual([false, true]);
  });

  test('a takeover with a clean start discards the session', async () => {
    await (await join('tr-p4')).subscribeAsync('trace/4', { qos: 1 });
    const second = await join('tr-p4');
    await second.subscribeAsync('trace/4', { qos: 1 });
    await publish('trace/4', ['x']);
    await fired('message.acked');
    await leaves(second);
    sameAs('takeover: a second connection');
    receivedAsIn('takeover: a second connection');
  });

  test('a takeover of a persistent session sends unacknowledged messages again', async () => {
    const name = 'takeover of a persistent session';
    await (await join('tr-p5', PERSISTENT, false)).subscribeAsync('trace/5', { qos: 1 });
    await publish('trace/5', ['m0', 'm1', 'm2']);
    await waitFor('the first', () => received.length === 1);
    const second = await join('tr-p5', PERSISTENT);
    await fired('message.acked', 3);
    await leaves(second);
    const traced = sameAs(name);
    receivedAsIn(name);
    expect([ackGroups(events), ackGroups(traced)]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  test('a takeover keeps a session that would have ended with its connection', async () => {
    const options: IClientOptions = { clean: false };
    await (await join('brief', options, false)).subscribeAsync('t', { qos: 1 });
    await publish('t', ['x']);
    await waitFor('the message', () => received.length === 1);
    const second = await join('brief', options);
    await fired('message.acked');
    expect(received.map(({ dup }) => dup)).toEqual([false, true]);
    await leaves(second);
    expect(emqx.broker.sessions.has('brief')).toBe(false);
  });

  test('a session that expires loses its subscriptions', async () => {
    const options = { ...PERSISTENT, properties: { sessionExpiryInterval: 1 } };
    await visit('tr-p6', 'trace/6', options);
    await sleep(1_200);
    expect(await api('GET', '/clients/tr-p6')).toMatchObject({ status: 404, json: { code: 'CLIENTID_NOT_FOUND' } });
    await publish('trace/6', ['x']);
    await visit('tr-p6', 'trace/6', options);
    sameAs('session expires');
  });

  test('a connection that resumes in time keeps its session past the first expiry', async () => {
    // A busy machine needs a moment to connect.
    const options = { ...PERSISTENT, properties: { sessionExpiryInterval: 3 } };
    await visit('timely', 't', options);
    const client = await join('timely', options);
    await sleep(3_200);
    expect(emqx.broker.sessions.get('timely')?.subscriptions.size).toBe(1);
    await leaves(client);
  });

  test('a retained message is sent to a later subscriber', async () => {
    await publish('trace/7', ['ret'], { retain: true });
    const client = await join('tr-p7');
    await client.subscribeAsync('trace/7', { qos: 1 });
    await fired('message.acked');
    await leaves(client);
    await publish('trace/7', [''], { retain: true });
    sameAs('retained message, then');
    receivedAsIn('retained message, then');
  });

  test('a full session queue drops its oldest messages', async () => {
    const client = await join('tr-p10', { properties: { receiveMaximum: 1 } }, false);
    await client.subscribeAsync('trace/10', { qos: 1 });
    events.length = 0;
    await publish(
      'trace/10',
      Array.from({ length: 1_100 }, (_, i) => `m${i}`),
    );
    client.stream.destroy();
    await fired('client.disconnected');
    const dropped = events.filter(({ event }) => event.event === 'delivery.dropped');
    // The trace shows the first three of 99, and no publishes.
    expect(dropped).toHaveLength(99);
    expect(dropped.map(({ event }) => String(event['payload'])).slice(0, 3)).toEqual(['m1', 'm2', 'm3']);
    events = [...dropped.slice(0, 3), ...events.slice(-1)];
    sameAs('session queue full');
  });

  test('a message that expires in the session queue is dropped when it would be sent', async () => {
    await visit('tr-p11', 'trace/11');
    await publish('trace/11', ['x'], { properties: { messageExpiryInterval: 1 } });
    await sleep(1_200);
    expect(count('delivery.dropped')).toBe(0);
    const client = await join('tr-p11', PERSISTENT);
    await fired('delivery.dropped');
    await leaves(client);
    sameAs('message expires in the session queue');
    expect(received).toEqual([]);
  });

  test('a client can unsubscribe a filter that REST subscribed', async () => {
    const client = await join('tr-p12');
    await api('POST', '/clients/tr-p12/subscribe', { topic: 'trace/12', qos: 1 });
    await client.unsubscribeAsync('trace/12');
    await leaves(client);
    sameAs('subscribed by REST');
  });

  test("a No Local subscription receives messages from REST, not the client's own", async () => {
    const client = await join('tr-p13');
    await client.subscribeAsync('trace/13', { qos: 1, nl: true });
    await client.publishAsync('trace/13', 'own', { qos: 1 });
    await api('POST', '/publish', { topic: 'trace/13', qos: 1, payload: 'own', properties: { user_properties: { 'offline-msgid': 'A' } } });
    await fired('message.acked');
    await leaves(client);
    sameAs('no local');
    receivedAsIn('no local');
  });
});
