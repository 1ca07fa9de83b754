import type { IPublishPacket } from 'mqtt';
import { GRACE_MS, STORM_MS } from '../../src/mailbox/times';
import { newId } from '../support/messages';
import { ackEvent, publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/**
 * The promises of the design in queue mode, by number; 6, 9 and 15 are in main-flow.ts, 12 and more of 10 and 16 in limits.ts, 17 in
 * pubsub.ts.
 */
export const promises: Suite = {
  name: 'promises in queue mode',
  policies: [
    { filter: 't/7/#', deliverTo: 'inbox' },
    { filter: 't/10/#', window: 8 },
  ],
  tests,
};

function tests(stage: Stage): void {
  const texts = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`);
  const events = (topic: string, count: number) =>
    texts(count).map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text) }));
  const letters = async () =>
    ((await (await stage.world.request('GET', '/v1/dead-letters')).json()) as { letters: { reason: string }[] }).letters.map(
      ({ reason }) => reason,
    );

  // After kill -9: test/server/process.test.ts.
  it('promise 1: accepted events are processed after a restart of the server', async () => {
    const { world } = stage;
    for (let i = 0; i < 10; i++) await world.post(events(`t/1/${i}`, 5));
    await world.restartServer();
    await world.storedCount(50, 't/1/#');
    const subscriber = await world.subscriber('c1');
    await subscriber.subscribe('t/1/3');
    expect(await subscriber.receives(5)).toEqual(texts(5));
    await world.storedCount(45);
  });

  // The guards: ON CONFLICT DO NOTHING and the tombstone in the store's saveMessages.
  it('promise 2: an event that EMQX sends twice takes effect once', async () => {
    const { world } = stage;
    const event = publishEvent({ topic: 't/2', id: newId() });
    await world.post([event, event]);
    await world.post(event);
    await world.storedCount(1);
    await world.post(ackEvent(String(event['id']), 't/2'));
    await world.storedCount(0);
    await world.post(ackEvent(String(event['id']), 't/2'));
    await world.post(event);
    await world.quiet();
    expect(await world.stored()).toEqual([]);
  });

  // The guard is the tombstone that removeMessages leaves for an id that is not stored.
  it('promise 3: an acknowledgement that arrives before its publish still removes the message', async () => {
    const { world } = stage;
    const live = await world.subscriber('live');
    await live.subscribe('t/3');
    const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
    await world.publish('t/3', 'delivered by EMQX');
    await live.receives(1);
    await waitFor('the ack to be sent', () => held.count() === 1 && world.emqx.events.some(({ event }) => event === 'message.acked'));
    await world.quiet();
    held.release();
    await world.quiet();
    expect(await world.stored()).toEqual([]);
  });

  // The guard is Gate: without it the delivery does not wait for the writes.
  it.each(['t/4/exact', 't/4/wild/+'])('promise 4: a subscription to %s receives every message accepted before it', async (filter) => {
    const { world } = stage;
    const topic = filter.replace('+', '1');
    const write = world.holdWrites();
    await world.post(events(topic, 20));
    const subscribed = performance.now();
    await (await world.subscriber(`c4 ${filter}`)).subscribe(filter);
    await waitFor('the delivery to be put off', async () => world.delivered.length > 0 || (await world.isSoon()));
    expect(world.delivered).toEqual([]);
    write();
    await waitFor('the delivery', () => world.delivered.length === 20);
    // The check 10 s after the subscription would find them, too; the delivery must come before it.
    expect(performance.now() - subscribed).toBeLessThan(GRACE_MS);
    expect(world.delivered).toEqual(texts(20));
  });

  // A run is looked at again after GRACE_MS, because EMQX's events may arrive late and in another order.
  it('promise 5: a message whose event arrives after the subscription is delivered to it', async () => {
    const { world } = stage;
    const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
    await world.publish('t/5', 'late');
    const subscriber = await world.subscriber('early');
    await subscriber.subscribe('t/5');
    await world.quiet();
    held.release();
    await world.quiet();
    expect(subscriber.texts).toEqual([]);
    await world.timePasses();
    expect(await subscriber.receives(1)).toEqual(['late']);
    await world.storedCount(0);
  });

  // The guard is the comparison with run.at in RunReader.page: EMQX delivers a younger message itself, ours would be a second copy.
  it('promise 5: a message published after the subscription is left to EMQX', async () => {
    const { world } = stage;
    const subscriber = await world.subscriber('cutoff');
    world.emqx.broker.sessions.get('cutoff')!.subscriptions.set('t/cutoff', 1);
    const subscribedAt = (timestamp: number) => ({ event: 'session.subscribed', clientid: 'cutoff', topic: 't/cutoff', qos: 1, timestamp });
    const at = Date.now();
    // A second one sooner would be the same.
    const later = at + STORM_MS + 1;
    await world.post(publishEvent({ topic: 't/cutoff', id: newId(), publishReceivedAt: later }));
    await world.post(subscribedAt(at));
    await world.quiet();
    expect(world.delivered).toEqual([]);
    await world.post(subscribedAt(later));
    expect(await subscriber.receives(1)).toEqual(['hello']);
    await world.storedCount(0);
  });

  // The guard is inboxTopic in Sender.publish: on the topic itself everybody gets it.
  it.each(['c7', 'c7/a+1', 'c7#%2Fb', 'клиент 7 😀'])('promise 7: an inbox delivery to %s reaches only that client', async (clientid) => {
    const { world } = stage;
    await world.publish('t/7/1', 'for one');
    await world.storedCount(1);
    // Everybody else's topics too, without an event: its own subscription would be one to deliver to.
    const audit = await world.subscriber('audit');
    world.emqx.broker.sessions.get('audit')!.subscriptions.set('#', 1);
    const subscriber = await world.subscriber(clientid);
    await subscriber.subscribe('t/7/1');
    expect(await subscriber.receives(1)).toEqual(['for one']);
    const encoded = clientid.replace(/[%/+#]/g, (character) => encodeURIComponent(character));
    expect(subscriber.received.map(({ topic }) => topic)).toEqual([`$offline/${encoded}/t/7/1`]);
    await world.storedCount(0);
    expect(audit.received).toEqual([]);
  });

  // The guards: verified(mark) in route.ts without the rule's filter, and the filter of the shipped rule.
  it.each([
    ['with the supplied rule', ['offline-messages']],
    ['with a rule without its filter', null],
  ])('promise 8: a delivered message is never stored again, %s', async (which, rules) => {
    const { world } = stage;
    await world.useRules(rules);
    await world.publish('t/8', 'round');
    await world.storedCount(1);
    const subscriber = await world.subscriber(`c8 ${which}`);
    await subscriber.subscribe('t/8');
    await subscriber.receives(1);
    await world.storedCount(0);
    await world.quiet();
    expect(await world.stored()).toEqual([]);
    expect(world.delivered).toEqual(['round']);
  });

  // The guard is the window: if all were sent at once, the session's queue of 10 would drop the oldest.
  it('promise 10: EMQX holds at most one window of messages for a client', async () => {
    const { world } = stage;
    world.emqx.renew({ inflight: 4, queue: 6 });
    await world.post(events('t/10/1', 60));
    await world.storedCount(60);
    const subscriber = await world.subscriber('c10');
    await subscriber.subscribe('t/10/1');
    expect(await subscriber.receives(60)).toEqual(texts(60));
    await world.storedCount(0);
    expect(world.emqx.dropped()).toEqual([]);
  });

  it('promise 11: every byte and MQTT 5 property arrives, and the API shows them', async () => {
    const { world } = stage;
    const payload = Buffer.from([0, 255, 254, 128, 0]);
    const properties: IPublishPacket['properties'] = {
      ...{ contentType: 'application/octet-stream', responseTopic: 'r/1', payloadFormatIndicator: false, messageExpiryInterval: 600 },
      ...{ correlationData: Buffer.from([1, 255, 0]), userProperties: { a: '1', b: ['x', 'y'] } },
    };
    const pairs = [
      { key: 'a', value: '1' },
      { key: 'b', value: 'x' },
      { key: 'b', value: 'y' },
    ];
    const from = Date.now();
    await world.publish('t/11', payload, { properties: properties as object });
    const [stored] = await world.storedCount(1);
    expect(Buffer.from(stored!.payload, 'base64')).toEqual(payload);
    expect(stored!.properties).toEqual({
      ...{ content_type: 'application/octet-stream', response_topic: 'r/1', payload_format_indicator: 0, message_expiry_interval: 600 },
      correlation_data: Buffer.from([1, 255, 0]).toString('base64'),
      user_properties: pairs,
    });
    const subscriber = await world.subscriber('c11', { protocolVersion: 5 });
    await subscriber.subscribe('t/11');
    await subscriber.receives(1);
    const [packet] = subscriber.received;
    expect(packet!.payload).toEqual(payload);
    expect(packet!.properties).toMatchObject({ contentType: 'application/octet-stream', responseTopic: 'r/1' });
    // The server and EMQX each leave out a part of a second.
    const left = packet!.properties!.messageExpiryInterval ?? 0;
    expect(left).toBeGreaterThanOrEqual(600 - Math.ceil((Date.now() - from) / 1_000) - 2);
    expect(left).toBeLessThanOrEqual(600);
    expect(packet!.properties!.userProperties).toMatchObject({
      ...{ a: '1', b: 'y', 'offline-msgid': stored!.id, 'offline-correlation-data': 'Af8A' },
      'offline-user-properties': JSON.stringify(pairs),
    });
    await world.storedCount(0);
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['of 1,000,000 control characters', Buffer.alloc(1_000_000, 1)],
    ['of 1,000,000 random bytes', Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7919) % 256))],
  ])('promise 11: a payload %s arrives unchanged', async (which, payload) => {
    const { world } = stage;
    await world.publish('t/11/large', payload);
    await world.storedCount(1);
    const subscriber = await world.subscriber(`c11 ${which}`);
    await subscriber.subscribe('t/11/large');
    await subscriber.receives(1);
    expect(payload.equals(subscriber.received[0]!.payload as Buffer)).toBe(true);
    await world.storedCount(0);
  });

  // test/stores has the messages that each database rejects.
  it('promise 13: a message that EMQX rejects is set aside, and the others are delivered', async () => {
    const { world } = stage;
    // EMQX 4's REST API doesn't look at the size.
    const isOld = world.emqx.version === 4;
    await world.publish('t/13', 'before');
    await world.post(
      publishEvent(isOld ? { topic: 't/13/a,t/13', id: newId() } : { topic: 't/13', id: newId(), payload: Buffer.alloc(1_048_576) }),
    );
    await world.publish('t/13', 'after');
    await world.storedCount(3);
    const subscriber = await world.subscriber('c13');
    await subscriber.subscribe(isOld ? 't/13/#' : 't/13');
    expect(await subscriber.receives(2)).toEqual(['before', 'after']);
    await world.storedCount(0);
    expect(await letters()).toContainEqual(expect.stringContaining(isOld ? 'the topic has a comma' : 'packet_too_large'));
  });

  // The guards: the retry of the same job (Workers.process) and the release of the leases in Sender.publish. Store and
  // queue: outage.test.ts.
  it('promise 14: after an outage of EMQX all messages are delivered in order', async () => {
    const { world } = stage;
    await world.post(events('t/14', 20));
    await world.storedCount(20);
    world.emqx.rest.outage = 503;
    const subscriber = await world.subscriber('c14');
    await subscriber.subscribe('t/14');
    const ready = await fetch(`${world.server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain('EMQX');
    expect(subscriber.texts).toEqual([]);
    world.emqx.rest.outage = null;
    expect(await subscriber.receives(20)).toEqual(texts(20));
    await world.storedCount(0);
    expect(subscriber.texts).toHaveLength(20);
  });

  // The guard is Sender.settle.
  it('promise 16: a QoS 0 subscriber gets a message once, not on every subscription', async () => {
    const { world } = stage;
    await world.publish('t/16', 'no ack will come');
    await world.storedCount(1);
    const subscriber = await world.subscriber('c16');
    await subscriber.subscribe('t/16', 0);
    await subscriber.receives(1);
    await world.storedCount(0);
    await subscriber.subscribe('t/16', 0);
    await world.quiet();
    expect(subscriber.texts).toEqual(['no ack will come']);
  });

  // The guard is Signer.verified in route.ts.
  it('promise 18: a forged mark neither removes the named message nor stops the new one', async () => {
    const { world } = stage;
    await world.useRules(null);
    await world.publish('t/18/victim', 'keep me');
    const [victim] = await world.storedCount(1);
    const accomplice = await world.subscriber('accomplice');
    await accomplice.subscribe('t/18/forged');
    const properties = { userProperties: { 'offline-msgid': victim!.id, 'offline-sig': 'A'.repeat(43) } };
    await world.publish('t/18/forged', 'forged', { properties }, 'attacker');
    await accomplice.receives(1);
    await world.quiet();
    // The forged message itself was stored as any other, and removed by its own ack.
    expect((await world.stored()).map(({ id }) => id)).toEqual([victim!.id]);
  });

  // A bug that EMQX's own changelogs list. The guard is RunReader.withoutRetained.
  it('the server leaves a retained message to EMQX, which delivers it itself', async () => {
    const { world } = stage;
    await world.publish('t/r', 'older', { retain: true });
    await world.publish('t/r', 'retained', { retain: true });
    await world.publish('t/r', 'plain');
    await world.storedCount(3);
    const subscriber = await world.subscriber('r');
    // Nothing is acknowledged before our deliveries are out: the ack of EMQX's own copy would hide that we sent it too.
    const acknowledge = subscriber.holdAcks();
    await subscriber.subscribe('t/r');
    await world.quiet();
    acknowledge();
    await world.storedCount(0);
    expect(world.delivered).toEqual(['older', 'plain']);
    expect(subscriber.texts.sort()).toEqual(['older', 'plain', 'retained']);
  });
}
