import { newGuid } from '../standin/message';
import { publishEvent } from '../support/events';
import type { Stage, Suite } from './stage';

/** The way of a message from a publisher to a subscriber that was not there. */
export const mainFlow: Suite = {
  name: 'a message for an absent subscriber',
  policies: [
    { filter: 't/6', window: 25 },
    { filter: 't/late/6', window: 4 },
  ],
  tests,
};

function tests(stage: Stage): void {
  it('is stored, delivered when a client subscribes, and removed when acknowledged', async () => {
    const { world } = stage;
    await world.publish('t/flow', 'hello');
    await world.storedCount(1);
    const subscriber = await world.subscriber('flow');
    await subscriber.subscribe('t/flow');
    expect(await subscriber.receives(1)).toEqual(['hello']);
    await world.storedCount(0);
    expect(subscriber.texts).toEqual(['hello']);
  });

  it('is delivered when POST /v1/deliveries requests it', async () => {
    const { world } = stage;
    await world.publish('t/demand/1', 'asked for');
    await world.storedCount(1);
    const subscriber = await world.subscriber('asking');
    // Subscribed without an event, as before the rule was imported.
    world.emqx.broker.sessions.get('asking')!.subscriptions.set('t/demand/1', 1);
    expect((await world.request('POST', '/v1/deliveries', { clientid: 'asking', topic: 't/demand/+' })).status).toBe(202);
    expect(await subscriber.receives(1)).toEqual(['asked for']);
    await world.storedCount(0);
  });

  // EMQX's plugin: "different subscribers".
  it('goes to the first new subscriber and not to the second', async () => {
    const { world } = stage;
    await world.publish('t/first', 'once');
    await world.storedCount(1);
    const first = await world.subscriber('first');
    await first.subscribe('t/first');
    await first.receives(1);
    await world.storedCount(0);
    await first.disconnect();
    const second = await world.subscriber('second');
    await second.subscribe('t/first');
    await world.quiet();
    expect(second.texts).toEqual([]);
  });

  // EMQX's plugin: "message order". The guard is ORDER BY msgid in the store. More than a few windows, each of which is a page.
  it('promise 6: arrives in publish order with the others of its topic, each once', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 80 }, (_, i) => `m${i}`);
    for (const text of texts.slice(0, 20)) await world.publish('t/6', text);
    // In one request: one after the other they would take a slow store longer than all other tests.
    await world.post(texts.slice(20).map((text) => publishEvent({ topic: 't/6', id: newGuid(), payload: Buffer.from(text) })));
    await world.storedCount(80);
    const subscriber = await world.subscriber('c6');
    await subscriber.subscribe('t/6');
    expect(await subscriber.receives(80)).toEqual(texts);
    await world.storedCount(0);
    expect(subscriber.received).toHaveLength(80);
  });

  // The guard is LookBack: the next page would begin behind the first of the late messages.
  it('promise 6: arrives in publish order when its event is later than the subscription', async () => {
    const { world } = stage;
    const ids = Array.from({ length: 8 }, () => newGuid());
    const publishReceivedAt = Date.now();
    const post = (clientid: string, ...numbers: number[]) =>
      world.post(
        numbers.map((i) =>
          publishEvent({ topic: 't/late/6', clientid, id: ids[i] ?? '', payload: Buffer.from(`${clientid}${i}`), publishReceivedAt }),
        ),
      );
    await post('b', 0, 2, 3, 4, 5, 6);
    await world.storedCount(6);
    const subscriber = await world.subscriber('late6');
    const acknowledge = subscriber.holdAcks();
    await subscriber.subscribe('t/late/6');
    expect(await subscriber.receives(1)).toEqual(['b0']);
    await world.quiet();
    await post('a', 1, 7);
    await world.storedCount(8);
    acknowledge();
    const texts = await subscriber.receives(8);
    expect(texts.filter((text) => text.startsWith('a'))).toEqual(['a1', 'a7']);
    expect(texts.filter((text) => text.startsWith('b'))).toEqual(['b0', 'b2', 'b3', 'b4', 'b5', 'b6']);
    await world.storedCount(0);
    expect(subscriber.received).toHaveLength(8);
  });

  it('is sent again to a client that reconnects without having acknowledged it', async () => {
    const { world } = stage;
    for (const text of ['a', 'b', 'c']) await world.publish('t/back', text);
    await world.storedCount(3);
    const first = await world.subscriber('back');
    first.holdAcks();
    await first.subscribe('t/back');
    await first.receives(1);
    await world.quiet();
    await world.breakOff(first);
    const again = await world.subscriber('back');
    await again.subscribe('t/back');
    await world.quiet();
    // Copies that were sent a moment ago are not sent again before the server knows that they are lost.
    await world.timePasses();
    expect(await again.receives(3)).toEqual(['a', 'b', 'c']);
    await world.storedCount(0);
  });

  // EMQX's plugin: "cleanup".
  it('is removed after the client has received it and unsubscribed', async () => {
    const { world } = stage;
    await world.useRules(['full']);
    const subscriber = await world.subscriber('cleanup');
    await world.publish('t/cleanup', 'hello');
    await subscriber.subscribe('t/cleanup');
    await subscriber.receives(1);
    await subscriber.client.unsubscribeAsync('t/cleanup');
    await world.storedCount(0);
  });

  // EMQX's plugin: "subscription persistence".
  it('reaches a client once that reconnects without subscribing again', async () => {
    const { world } = stage;
    await world.useRules(['full']);
    const before = await world.subscriber('persistence');
    await before.subscribe('t/p');
    await world.quiet();
    await before.disconnect();
    await world.publish('t/p', 'first');
    await world.storedCount(1);
    const again = await world.subscriber('persistence');
    expect(await again.receives(1)).toEqual(['first']);
    await world.storedCount(0);
    await again.disconnect();
    const third = await world.subscriber('persistence');
    await world.quiet();
    await world.publish('t/p', 'second');
    expect(await third.receives(1)).toEqual(['second']);
    await world.storedCount(0);
  });

  // EMQX's plugin: "restored subscription replay is not duplicated".
  it('arrives once when both the server and the client restore the subscription', async () => {
    const { world } = stage;
    await world.useRules(['full']);
    const before = await world.subscriber('both');
    await before.subscribe('t/b');
    await world.quiet();
    await before.disconnect();
    await world.publish('t/b', 'one copy');
    await world.storedCount(1);
    const again = await world.subscriber('both');
    await again.subscribe('t/b');
    await again.receives(1);
    await world.storedCount(0);
    await world.quiet();
    expect(again.texts).toEqual(['one copy']);
  });

  // Two guards, either of which is enough here: the client's mailbox knows what is on its way, and each message is
  // claimed before it is sent.
  it('promise 9: arrives once when the client subscribes four times in quick succession', async () => {
    const { world } = stage;
    await world.publish('t/9/1', 'hello');
    await world.publish('t/9/1', 'again');
    await world.storedCount(2);
    const subscriber = await world.subscriber('c9');
    // The client keeps its acknowledgements until all subscriptions are worked on.
    const acknowledge = subscriber.holdAcks();
    for (const filter of ['t/9/1', 't/9/#', 't/9/1', 't/9/+']) await subscriber.subscribe(filter);
    await world.quiet();
    acknowledge();
    await world.storedCount(0);
    expect(world.delivered).toEqual(['hello', 'again']);
  });

  // Ten workers of an application start at once. The guard is the claim of each message (Claiming).
  it('promise 9: arrives once in a shared group whose members subscribe together', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 20 }, (_, i) => `m${i}`);
    await world.post(texts.map((text) => publishEvent({ topic: 't/workers', id: newGuid(), payload: Buffer.from(text) })));
    await world.storedCount(20);
    const members = await Promise.all(Array.from({ length: 8 }, (_, i) => world.subscriber(`member-${i}`)));
    await Promise.all(members.map((member) => member.subscribe('$share/g/t/workers')));
    await world.storedCount(0);
    await world.quiet();
    const all = members.flatMap((member) => member.texts);
    expect([...all].sort()).toEqual([...texts].sort());
  });

  it.each(['t/15', '$share/g/t/15', 't/+', '$share/g/#', '#'])('promise 15: reaches a subscriber of %s', async (filter) => {
    const { world } = stage;
    await world.publish('t/15', 'hello');
    await world.storedCount(1);
    const subscriber = await world.subscriber(`c15 ${filter.replace(/\W/g, '')}`);
    await subscriber.subscribe(filter);
    expect(await subscriber.receives(1)).toEqual(['hello']);
    await world.storedCount(0);
    // The look after the grace would find what later tests store.
    await world.timePasses();
  });
}
