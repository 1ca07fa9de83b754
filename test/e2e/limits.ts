import type { Message } from '../../src/mqtt/message';
import { publishEvent } from '../support/events';
import { newId } from '../support/messages';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/** Expiry, limits and QoS. Pacing, which takes many messages and much time, is in pacing.ts. */
export const limits: Suite = {
  name: 'expiry, limits and QoS',
  policies: [
    { filter: 't/12/ttl', ttl: '1h' },
    { filter: 't/fetch/limit', fetch: { limit: 2 } },
    { filter: 't/fetch/age', fetch: { maxAge: '1h' } },
    { filter: 't/trim/#', maxStored: 20 },
    { filter: 't/qos0/keep', storeQos0: true, qos0: 'keep' },
    { filter: 't/qos0/settle', storeQos0: true },
    { filter: 't/qos0/skip', qos0: 'skip' },
  ],
  tests,
};

function tests(stage: Stage): void {
  const event = (topic: string, text: string, fields: Partial<Message> = {}) =>
    publishEvent({ topic, id: newId(), payload: Buffer.from(text), ...fields });
  const ago = (seconds: number) => ({ publishReceivedAt: Date.now() - seconds * 1_000 });
  const textsOf = async (filter: string) => (await stage.world.stored(filter)).map(({ text }) => text);

  it('promise 12: an expired message is not delivered; another keeps its remaining expiry', async () => {
    const { world } = stage;
    const expiring = (seconds: number) => ({ ...ago(100), properties: { messageExpiryInterval: seconds } });
    await world.post([
      event('t/12/ttl', 'alive', expiring(300)),
      event('t/12/ttl', 'expired', expiring(50)),
      event('t/12/ttl', 'over its ttl', ago(3_700)),
    ]);
    await world.quiet();
    expect(await textsOf('t/12/#')).toEqual(['alive']);
    const subscriber = await world.subscriber('c12', { protocolVersion: 5 });
    await subscriber.subscribe('t/12/ttl');
    await subscriber.receives(1);
    const left = subscriber.received[0]?.properties?.messageExpiryInterval ?? 0;
    expect(left).toBeGreaterThan(100);
    expect(left).toBeLessThanOrEqual(200);
    await world.storedCount(0);
    expect(subscriber.texts).toEqual(['alive']);
  });

  // EMQX leaves a $delayed/... message the publish_received_at of its publish; its timestamp is when it was due.
  it('promise 12: the ttl of a delayed message starts when EMQX publishes it', async () => {
    const { world } = stage;
    await world.post({ ...event('t/12/ttl', 'delayed', ago(4_000)), timestamp: Date.now() - 1_000 });
    const subscriber = await world.subscriber('c12 delayed');
    await subscriber.subscribe('t/12/ttl');
    await subscriber.receives(1);
    await world.storedCount(0);
    expect(subscriber.texts).toEqual(['delayed']);
  });

  // The message expires after it was stored, so the store itself must leave it out.
  it('promise 12: a message that expires in the store is neither delivered nor shown', async () => {
    const { world } = stage;
    const before = await world.metric('messages_stored_total');
    const properties = { messageExpiryInterval: 60 };
    await world.post([event('t/12/soon', 'short', { properties }), event('t/12/soon', 'long')]);
    await world.quiet();
    expect(await world.metric('messages_stored_total')).toBe(before + 2);
    await world.timePasses(61_000);
    expect(await textsOf('t/12/soon')).toEqual(['long']);
    const subscriber = await world.subscriber('c12 soon');
    await subscriber.subscribe('t/12/soon');
    await world.storedCount(0);
    expect(subscriber.texts).toEqual(['long']);
  });

  it('a subscription is sent at most fetch.limit messages, none older than fetch.maxAge', async () => {
    const { world } = stage;
    await world.post(['a', 'b', 'c'].map((text) => event('t/fetch/limit', text)));
    await world.post([event('t/fetch/age', 'old', ago(3_700)), event('t/fetch/age', 'young')]);
    await world.storedCount(5);
    const subscriber = await world.subscriber('fetch');
    await subscriber.subscribe('t/fetch/limit');
    await subscriber.subscribe('t/fetch/age');
    await world.storedCount(2);
    await world.quiet();
    expect([...subscriber.texts].sort()).toEqual(['a', 'b', 'young']);
    expect(await textsOf('#')).toEqual(expect.arrayContaining(['old', 'c']));
  });

  // The guard is Trimmer.
  it('the oldest messages of a topic above maxStored are deleted and counted', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 50 }, (_, i) => `m${i}`);
    const before = await world.metric('messages_trimmed_total');
    await world.post(texts.slice(0, 15).map((text) => event('t/trim/other', text)));
    for (const text of texts) await world.post(event('t/trim/1', text));
    await world.quiet();
    // A check may still be due, which may leave up to a tenth more.
    const stored = await waitFor('the trimmed topic', async () => {
      const left = await textsOf('t/trim/1');
      return left.length <= 22 ? left : null;
    });
    expect(stored.length).toBeGreaterThanOrEqual(20);
    expect(stored).toEqual(texts.slice(-stored.length));
    expect(await textsOf('t/trim/other')).toEqual(texts.slice(0, 15));
    const trimmed = async () => (await world.metric('messages_trimmed_total')) - before;
    await waitFor('the metric', async () => (await trimmed()) === 50 - (await textsOf('t/trim/1')).length);
  });

  if (stage.form === 'short') return;

  it.each([
    [2, 2, 2],
    [2, 1, 1],
    [1, 2, 1],
    [1, 0, 0],
  ] as const)(
    'promise 16: a QoS %i message reaches a QoS %i subscription at QoS %i and is removed',
    async (qos, subscription, delivered) => {
      const { world } = stage;
      const topic = `t/qos/${qos}${subscription}`;
      await world.publish(topic, 'x', { qos });
      await world.storedCount(1);
      const subscriber = await world.subscriber(topic);
      await subscriber.subscribe(topic, subscription);
      await subscriber.receives(1);
      await world.storedCount(0);
      expect(subscriber.received.map((packet) => packet.qos)).toEqual([delivered]);
    },
  );

  it.each([
    ['keep', 1, 1],
    ['settle', 1, 0],
  ])('promise 16: a stored QoS 0 message with qos0 %s is delivered %i time; %i stay stored', async (policy, deliveries, left) => {
    const { world } = stage;
    await world.publish(`t/qos0/${policy}`, 'x', { qos: 0 });
    await world.publish('t/qos0/skip', 'not stored', { qos: 0 });
    await world.storedCount(1);
    const subscriber = await world.subscriber(`qos0 ${policy}`);
    await subscriber.subscribe(`t/qos0/${policy}`);
    await subscriber.receives(1);
    await world.quiet();
    // The look after the grace must not send it again.
    await world.timePasses();
    expect(subscriber.received.map((packet) => packet.qos)).toEqual(Array.from({ length: deliveries }, () => 0));
    expect(await world.stored()).toHaveLength(left);
  });

  it('promise 16: with qos0 skip a message waits for a subscription with QoS 1 or 2', async () => {
    const { world } = stage;
    await world.publish('t/qos0/skip', 'x');
    await world.storedCount(1);
    const subscriber = await world.subscriber('qos0 skip');
    await subscriber.subscribe('t/qos0/skip', 0);
    await world.quiet();
    expect(subscriber.texts).toEqual([]);
    await subscriber.subscribe('t/qos0/skip', 1);
    expect(await subscriber.receives(1)).toEqual(['x']);
    await world.storedCount(0);
  });
}
