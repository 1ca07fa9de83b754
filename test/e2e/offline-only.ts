import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/** rules/emqx5/offline-only.json: message.dropped with no_subscribers in place of message.publish. What it stores has the same promises. */
export const offlineOnly: Suite = {
  name: 'the offline-only rule',
  policies: [{ filter: 't/only/7/#', deliverTo: 'inbox' }],
  rules: ['offline-only'],
  tests,
};

function tests(stage: Stage): void {
  it('promise 6: stores messages without a subscriber, and delivers them in order', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 20 }, (_, i) => `m${i}`);
    for (const text of texts) await world.publish('t/only/6', text);
    await world.storedCount(20);
    const subscriber = await world.subscriber('only 6');
    await subscriber.subscribe('t/only/+');
    expect(await subscriber.receives(20)).toEqual(texts);
    await world.storedCount(0);
    await world.quiet();
    expect(subscriber.texts).toHaveLength(20);
  });

  if (stage.form === 'short') return;

  it('stores no message that a subscriber received, acknowledged or not', async () => {
    const { world } = stage;
    const subscriber = await world.subscriber('there');
    subscriber.holdAcks();
    await subscriber.subscribe('t/only/there');
    await world.quiet();
    for (let i = 0; i < 5; i++) await world.publish('t/only/there', `m${i}`);
    await waitFor('the deliveries', () => world.emqx.events.filter(({ event }) => event === 'message.delivered').length === 5);
    await world.quiet();
    expect(await world.stored()).toEqual([]);
    // Its events are few, that is what the rule is for: two connections and a subscription.
    expect(world.emqx.action.statuses).toHaveLength(3);
  });

  it('stores no message for a disconnected persistent session, because EMQX keeps it', async () => {
    const { world } = stage;
    const persistent = { clean: false, protocolVersion: 4 as const };
    const before = await world.subscriber('away', persistent);
    await before.subscribe('t/only/away');
    await world.quiet();
    await before.disconnect();
    await world.publish('t/only/away', 'kept by EMQX');
    await world.quiet();
    expect(await world.stored()).toEqual([]);
    const again = await world.subscriber('away', persistent);
    expect(await again.receives(1)).toEqual(['kept by EMQX']);
  });

  it('stores no message of other topics', async () => {
    const { world } = stage;
    await world.publish('other/1', 'x');
    await world.quiet();
    expect(await world.stored()).toEqual([]);
  });

  it('promise 5: delivers a message whose event arrives after the subscription', async () => {
    const { world } = stage;
    const held = world.emqx.action.hold(({ event }) => event === 'message.dropped');
    await world.publish('t/only/5', 'late');
    const subscriber = await world.subscriber('only 5');
    await subscriber.subscribe('t/only/5');
    await world.quiet();
    held.release();
    await world.quiet();
    await world.timePasses();
    expect(await subscriber.receives(1)).toEqual(['late']);
    await world.storedCount(0);
  });

  // An inbox delivery to a client that is gone is dropped under its inbox topic.
  it('promise 7: delivers to the inbox of the subscribing client', async () => {
    const { world } = stage;
    await world.publish('t/only/7/1', 'for one');
    await world.storedCount(1);
    const subscriber = await world.subscriber('only/a+1');
    await subscriber.subscribe('t/only/7/1');
    expect(await subscriber.receives(1)).toEqual(['for one']);
    await world.storedCount(0);
    expect(subscriber.received.map(({ topic }) => topic)).toEqual(['$offline/only%2Fa%2B1/t/only/7/1']);
  });

  // A delivery that reaches nobody is a message.dropped too. The guards: the rule's filter, and verified(mark) in route.ts.
  it.each(['with the supplied rule', 'without its filter'])(
    'promise 8: does not store a delivery again that no subscriber received, %s',
    async (which) => {
      const { world } = stage;
      if (which === 'without its filter') {
        await world.useRules([]);
        await world.importUnfiltered('offline-only');
      }
      await world.publish('t/only/8', 'x');
      const [stored] = await world.storedCount(1);
      // The client is connected but has not subscribed to the topic.
      await world.subscriber(`nobody ${which}`);
      await world.request('POST', '/v1/deliveries', { clientid: `nobody ${which}`, topic: 't/only/8' });
      await waitFor('the delivery', () => world.delivered.length === 1);
      await world.quiet();
      expect((await world.stored()).map(({ id }) => id)).toEqual([stored!.id]);
      const subscriber = await world.subscriber(`only 8 ${which}`);
      await subscriber.subscribe('t/only/8');
      expect(await subscriber.receives(1)).toEqual(['x']);
      await world.storedCount(0);
    },
  );

  it('promise 11: keeps every byte of payload and properties', async () => {
    const { world } = stage;
    const payload = Buffer.from([0, 255, 254, 128, 0]);
    await world.publish('t/only/11', payload, { properties: { correlationData: Buffer.from([1, 255]), contentType: 'x/y' } });
    const [stored] = await world.storedCount(1);
    expect(Buffer.from(stored!.payload, 'base64')).toEqual(payload);
    expect(stored!.properties).toMatchObject({ correlation_data: 'Af8=', content_type: 'x/y' });
    const subscriber = await world.subscriber('only 11');
    await subscriber.subscribe('t/only/11');
    await subscriber.receives(1);
    expect(subscriber.received[0]!.payload).toEqual(payload);
  });

  it('promise 12: delivers a message with its remaining expiry', async () => {
    const { world } = stage;
    await world.publish('t/only/12', 'hello', { properties: { messageExpiryInterval: 600 } });
    await world.storedCount(1);
    const subscriber = await world.subscriber('only 12', { protocolVersion: 5 });
    await subscriber.subscribe('t/only/12');
    expect(await subscriber.receives(1)).toEqual(['hello']);
    const left = subscriber.received[0]?.properties?.messageExpiryInterval ?? 0;
    expect(left).toBeGreaterThan(570);
    expect(left).toBeLessThanOrEqual(600);
    await world.storedCount(0);
  });
}
