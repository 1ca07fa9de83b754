import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { EmqxV5 } from '../../src/emqx/v5';
import { waitFor } from '../support/wait';
import { EmqxStandIn } from './index';

/** What EMQX's REST API says of a session, asked by our own client of it; and the ways in which EMQX loses what it holds. */
describe("a session at the stand-in's REST API", () => {
  let emqx: EmqxStandIn;
  let api: EmqxV5;
  const clients: MqttClient[] = [];
  const start = async (limits = {}) => {
    emqx = await EmqxStandIn.start(limits);
    api = new EmqxV5({ url: emqx.apiUrl, apiKey: emqx.apiKey, apiSecret: emqx.apiSecret });
  };
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
    await api.close();
    await emqx.stop();
  });

  const PERSISTENT: IClientOptions = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 300 } };
  const join = async (clientId: string, options: IClientOptions = {}, acknowledges = true) => {
    const client = await connectAsync(emqx.mqttUrl, { clientId, reconnectPeriod: 0, ...options });
    if (!acknowledges) client.handleMessage = () => undefined;
    clients.push(client);
    return client;
  };
  const subscriber = async (clientId: string, options: IClientOptions = {}, acknowledges = true, qos: 1 | 2 = 1) => {
    const client = await join(clientId, options, acknowledges);
    await client.subscribeAsync('t', { qos });
    return client;
  };
  const delivery = (text: string) => ({
    topic: 't',
    qos: 1 as const,
    retain: false,
    payload: Buffer.from(text),
    properties: { userProperties: {} },
  });
  const publish = async (count: number) =>
    (await api.publish(Array.from({ length: count }, (_, i) => delivery(`m${i}`)))).map((outcome) => ('id' in outcome ? outcome.id : null));
  const leaves = async (client: MqttClient) => {
    await client.endAsync();
    await waitFor('the end of its connection', () => (emqx.broker.sessions.get(String(client.options.clientId))?.outlet ?? null) === null);
  };
  const heldIds = async (clientid: string) => {
    const held = await api.held(clientid);
    return held.kind === 'list' ? held.messages.map(({ id }) => id) : [held.kind];
  };
  const names = () => emqx.events.map(({ event }) => event);

  test.each<[string, IClientOptions, object]>([
    ['MQTT 3.1.1, clean', { protocolVersion: 4, clean: true }, { persistent: false }],
    ['MQTT 3.1.1, not clean', { protocolVersion: 4, clean: false }, { persistent: true }],
    ['MQTT 5, clean start with an expiry', { ...PERSISTENT, clean: true }, { persistent: true }],
    ['MQTT 5, no expiry', { protocolVersion: 5, clean: false }, { persistent: false }],
  ])('%s', async (_, options, view) => {
    await start();
    const before = Date.now();
    const client = await join('c', options);
    const session = (await api.session('c'))!;
    expect(session).toMatchObject({ connected: true, durable: false, queued: 0, inflight: 0, ...view });
    for (const time of [session.createdAt, session.connectedAt]) {
      expect(time).toBeGreaterThanOrEqual(before);
      expect(time).toBeLessThanOrEqual(Date.now());
    }
    await leaves(client);
    expect(await api.session('c')).toEqual((view as { persistent: boolean }).persistent ? { ...session, connected: false } : null);
  });

  test('has the broker-wide expiry for MQTT 3.1.1 without a clean session', async () => {
    await start();
    await join('old', { protocolVersion: 4, clean: false });
    expect(emqx.events.at(-1)).toMatchObject({ event: 'client.connected', clean_start: false, expiry_interval: 7_200 });
  });

  test('can be ended by a DISCONNECT of MQTT 5', async () => {
    await start();
    const client = await join('c', PERSISTENT);
    await client.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
    await waitFor('its end', () => emqx.broker.sessions.size === 0);
  });

  test('lists queued and in-flight messages, even while the client is away', async () => {
    await start({ inflight: 3 });
    const client = await subscriber('c', PERSISTENT, false);
    const ids = await publish(8);
    expect((await heldIds('c')).sort()).toEqual(ids);
    expect(await api.session('c')).toMatchObject({ queued: 5, inflight: 3 });
    client.stream.destroy();
    await leaves(client);
    expect(await api.held('c')).toMatchObject({
      kind: 'list',
      complete: true,
      messages: expect.arrayContaining([{ id: ids[0], topic: 't', from: 'http_api' }]) as unknown,
    });
    expect(await heldIds('nobody')).toEqual(['no-client']);
    const again = await join('c', PERSISTENT);
    await waitFor('all', async () => (await heldIds('c')).length === 0);
    expect(again.connected).toBe(true);
  });

  test('lists its messages in pages', async () => {
    await start({ inflight: 2 });
    await subscriber('c', {}, false);
    const ids = await publish(7);
    const page = async (query: string) => {
      const headers = { authorization: `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}` };
      const answer = await fetch(`${emqx.apiUrl}/clients/c/${query}`, { headers });
      return (await answer.json()) as { data: { msgid: string; payload?: string }[]; meta: { position: string } };
    };
    const first = await page('mqueue_messages?limit=3');
    expect(first.data).toMatchObject([{ payload: 'bTI=' }, {}, {}]);
    const second = await page(`mqueue_messages?payload=none&limit=3&position=${first.meta.position}`);
    const third = await page(`mqueue_messages?payload=none&limit=3&position=${second.meta.position}`);
    expect([...first.data, ...second.data].map(({ msgid }) => msgid)).toEqual(ids.slice(2));
    expect(third).toMatchObject({ data: [], meta: { position: second.meta.position } });
    expect((await page('inflight_messages?payload=none')).data.map(({ msgid }) => msgid)).toEqual(ids.slice(0, 2));
    expect(await page('mqueue_messages?position=x')).toMatchObject({ code: 'INVALID_PARAMETER' });
  });

  test('has no lists before EMQX 5.7', async () => {
    await start();
    await subscriber('c');
    emqx.rest.listsSessions = false;
    expect([await heldIds('c'), (await api.session('c'))?.connected]).toEqual([['unknown'], true]);
    emqx.rest.renew();
    expect(await heldIds('c')).toEqual([]);
  });

  test('keeps a QoS 2 message in flight until PUBCOMP', async () => {
    await start();
    const client = await subscriber('c', PERSISTENT, true, 2);
    client.on('packetreceive', (packet) => void (packet.cmd === 'pubrel' && client.stream.destroy()));
    await api.publish([{ ...delivery('x'), qos: 2 }]);
    await waitFor('its ack', () => names().includes('message.acked'));
    await leaves(client);
    expect(await heldIds('c')).toHaveLength(1);
    await join('c', PERSISTENT);
    await waitFor('the end', async () => (await heldIds('c')).length === 0);
    expect(names().filter((event) => event === 'message.acked')).toHaveLength(1);
  });

  test('drops messages silently without an event, and sends the next ones', async () => {
    await start({ inflight: 2 });
    await subscriber('c', {}, false);
    const ids = await publish(4);
    const before = emqx.events.length;
    expect(emqx.broker.sessions.get('c')!.dropSilently(({ id }) => id === ids[0] || id === ids[3])).toBe(2);
    expect((await heldIds('c')).sort()).toEqual([ids[1], ids[2]]);
    expect(names().slice(before)).toEqual(['message.delivered']);
    expect(await api.session('c')).toMatchObject({ queued: 0, inflight: 2 });
  });

  test.each([
    [true, 0],
    [false, 2],
  ])('with silent %p reports %i drops of a full queue', async (silent, times) => {
    await start({ inflight: 1, queue: 1, silent });
    await subscriber('c', {}, false);
    const ids = await publish(4);
    expect(await heldIds('c')).toEqual([ids[3], ids[0]]);
    expect(emqx.dropped()).toHaveLength(times);
  });

  test('ends without an event when the mailbox of its connection is full', async () => {
    await start({ mailbox: 50 });
    const client = await subscriber('c', PERSISTENT, false);
    const before = names().filter((event) => event !== 'message.publish');
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await publish(50);
    expect(client.connected).toBe(true);
    const outcomes = await api.publish(Array.from({ length: 60 }, (_, i) => delivery(`m${i}`)));
    await closed;
    expect(outcomes.map(({ result }) => result)).toEqual([
      ...Array<string>(51).fill('delivered'),
      ...Array<string>(9).fill('no-subscribers'),
    ]);
    expect(await heldIds('c')).toEqual(['no-client']);
    expect(names().slice(before.length)).not.toContain('client.disconnected');
    expect(emqx.dropped()).toEqual([]);
  });
});
