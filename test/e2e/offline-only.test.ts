import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type WorldOptions } from './world';

/** rules/emqx5/offline-only.json: message.dropped with no_subscribers in place of message.publish. What it stores has the same promises. */
describe('the offline-only rule', () => {
  const directory = temporaryDirectory();
  let world: World;
  const start = async (options: WorldOptions = {}) => {
    world = await World.start({ rules: ['offline-only'], ...options, env: { DATA_DIR: directory.path, ...options.env } });
    await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
  };
  afterEach(async () => {
    expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
    await world.stop();
  });
  afterAll(() => directory.remove());

  it('stores what nobody received, delivers it in order, and removes it when acknowledged', async () => {
    await start();
    const texts = Array.from({ length: 50 }, (_, i) => `m${i}`);
    for (const text of texts) await world.publish('t/1', text);
    await world.storedCount(50);
    const subscriber = await world.subscriber('c1');
    await subscriber.subscribe('t/+');
    expect(await subscriber.receives(50)).toEqual(texts);
    await world.storedCount(0);
    await world.quiet();
    expect(subscriber.texts).toHaveLength(50);
  });

  it('stores nothing that somebody received, acknowledged or not', async () => {
    await start();
    const subscriber = await world.subscriber('there');
    subscriber.client.handleMessage = () => undefined;
    await subscriber.subscribe('t/1');
    await world.quiet();
    for (let i = 0; i < 5; i++) await world.publish('t/1', `m${i}`);
    await waitFor('the deliveries', () => world.emqx.events.filter(({ event }) => event === 'message.delivered').length === 5);
    await world.quiet();
    expect(await world.stored()).toEqual([]);
    // Its events are few: that is what the rule is for.
    expect(world.emqx.action.statuses).toHaveLength(1);
  });

  it('stores nothing for a persistent session that is away: EMQX keeps it', async () => {
    await start();
    const persistent = { clean: false, protocolVersion: 4 as const };
    const before = await world.subscriber('away', persistent);
    await before.subscribe('t/1');
    await world.quiet();
    await before.disconnect();
    await world.publish('t/1', 'kept by EMQX');
    await world.quiet();
    expect(await world.stored()).toEqual([]);
    const again = await world.subscriber('away', persistent);
    expect(await again.receives(1)).toEqual(['kept by EMQX']);
  });

  it('stores nothing of other topics', async () => {
    await start();
    await world.publish('other/1', 'x');
    await world.quiet();
    expect(await world.stored()).toEqual([]);
  });

  // Promise 8. A delivery that reaches nobody is a message.dropped too. The guards: the rule's filter, and verified(mark) in route.ts.
  it.each(['offline-only', 'without its filter'])('8: a delivery that nobody was there for is not stored again (%s)', async (rule) => {
    await start({ rules: rule === 'offline-only' ? [rule] : [] });
    if (rule !== 'offline-only') await world.importUnfiltered('offline-only');
    await world.publish('t/1', 'x');
    const [stored] = await world.storedCount(1);
    await fetch(`${world.server.url}/v1/deliveries`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ clientid: 'nobody', topic: 't/1' }),
    });
    await waitFor('the delivery', () => world.emqx.rest.publishes.length === 1);
    await world.quiet();
    expect((await world.stored()).map(({ id }) => id)).toEqual([stored!.id]);
    const subscriber = await world.subscriber('c8');
    await subscriber.subscribe('t/1');
    expect(await subscriber.receives(1)).toEqual(['x']);
    await world.storedCount(0);
  });

  // Promise 5.
  it('5: a drop whose event comes after the subscription is delivered to it', async () => {
    await start();
    const held = world.emqx.action.hold(({ event }) => event === 'message.dropped');
    await world.publish('t/5', 'late');
    const subscriber = await world.subscriber('early');
    await subscriber.subscribe('t/5');
    await world.quiet();
    held.release();
    expect(await subscriber.receives(1)).toEqual(['late']);
    await world.storedCount(0);
  });

  // Promise 7: an inbox delivery to a client that is gone is dropped under its inbox topic.
  it('7: delivers to inboxes', async () => {
    await start({ env: { POLICIES: JSON.stringify([{ filter: '#', deliverTo: 'inbox' }]) } });
    await world.publish('t/7', 'for one');
    await world.storedCount(1);
    const subscriber = await world.subscriber('dev/a+1');
    await subscriber.subscribe('t/7');
    expect(await subscriber.receives(1)).toEqual(['for one']);
    await world.storedCount(0);
    expect(subscriber.received.map(({ topic }) => topic)).toEqual(['$offline/dev%2Fa%2B1/t/7']);
  });

  it('11: keeps every byte', async () => {
    await start();
    const payload = Buffer.from([0, 255, 254, 128, 0]);
    await world.publish('t/11', payload, { properties: { correlationData: Buffer.from([1, 255]), contentType: 'x/y' } });
    const [stored] = await world.storedCount(1);
    expect(Buffer.from(stored!.payload, 'base64')).toEqual(payload);
    expect(stored!.properties).toMatchObject({ correlation_data: 'Af8=', content_type: 'x/y' });
    const subscriber = await world.subscriber('c11');
    await subscriber.subscribe('t/11');
    await subscriber.receives(1);
    expect(subscriber.received[0]!.payload).toEqual(payload);
  });

  it('12: honours MQTT 5 expiry', async () => {
    await start();
    await world.publish('t/12', 'short', { properties: { messageExpiryInterval: 1 } });
    await world.publish('t/12', 'long', { properties: { messageExpiryInterval: 600 } });
    await waitFor('one to expire', async () => (await world.stored()).map(({ text }) => text).join() === 'long');
    const subscriber = await world.subscriber('c12', { protocolVersion: 5 });
    await subscriber.subscribe('t/12');
    expect(await subscriber.receives(1)).toEqual(['long']);
    expect(subscriber.received[0]?.properties?.messageExpiryInterval).toBeLessThanOrEqual(600);
    await world.storedCount(0);
  });
});
