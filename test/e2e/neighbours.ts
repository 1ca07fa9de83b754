import { GRACE_MS } from '../../src/mailbox/times';
import { newId } from '../support/messages';
import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/** Names of properties that every JavaScript object has. */
const NAMES = ['constructor', '__proto__', 'toString', 'hasOwnProperty'];
/** EMQX's mqtt.max_packet_size. */
const MAX_PACKET = 1_048_576;

/** Clients, names, messages and answers that must not hurt others. */
export const neighbours: Suite = {
  name: 'clients that must not harm others',
  policies: [
    ...NAMES.map((filter) => ({ filter, fetch: { limit: 2 } })),
    { filter: 't/20/limit', fetch: { limit: 2 } },
    { filter: 't/20/inbox/#', deliverTo: 'inbox' },
    { filter: 't/20/many/#', deliverTo: 'inbox', mode: 'pubsub' },
  ],
  tests,
};

function tests(stage: Stage): void {
  const letters = async () =>
    ((await (await stage.world.request('GET', '/v1/dead-letters')).json()) as { letters: { reason: string }[] }).letters.map(
      ({ reason }) => reason,
    );
  const store = (topic: string, texts: readonly string[]) =>
    stage.world.post(texts.map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text) })));

  // The guard: what clients name is a key of a Map, never of an object.
  it('promise 20: names of JavaScript properties work as client ids, topics and filters', async () => {
    const { world } = stage;
    // The shipped rules are about t/#.
    await world.useRules(null);
    const topics = [...NAMES, 't/20/limit'];
    for (const topic of topics) await store(topic, ['a', 'b', 'c']);
    await world.storedCount(3 * topics.length);
    const subscribers = await Promise.all(topics.map((name) => world.subscriber(name)));
    for (const [i, topic] of topics.entries()) await subscribers[i]?.subscribe(topic);
    // One client with all of them as its filters, beside another one.
    const all = await world.subscriber('all names');
    for (const subscriber of subscribers) expect(await subscriber.receives(2)).toEqual(['a', 'b']);
    await world.storedCount(topics.length);
    for (const subscriber of subscribers) await subscriber.disconnect();
    for (const topic of topics) await all.subscribe(topic);
    await world.storedCount(0);
    expect(all.texts).toEqual(topics.map(() => 'c'));
    expect(subscribers.map(({ texts }) => texts)).toEqual(topics.map(() => ['a', 'b']));
  });

  // The guard is Sender.refuse: with the client's long id the inbox topic makes the packet too large.
  it.each([
    ['queue', 't/20/inbox/large'],
    ['pubsub', 't/20/many/large'],
  ])('promise 20: a message that EMQX rejects for one inbox stays stored for others (%s)', async (mode, topic) => {
    const { world } = stage;
    const large = Buffer.alloc(MAX_PACKET - 1_000, 1);
    const before = (await letters()).length;
    await world.post(publishEvent({ topic, id: newId(), payload: large }));
    await store(topic, ['small']);
    await world.storedCount(2);
    const name = 'x'.repeat(3_000);
    const long = await world.subscriber(`${mode}${name}`);
    await long.subscribe(topic);
    expect(await long.receives(1)).toEqual(['small']);
    await world.quiet();
    await world.leave(long);
    const again = await world.subscriber(`${mode}${name}`);
    await again.subscribe(topic);
    await world.quiet();
    expect((await letters()).length - before).toBe(1);
    expect(again.texts).toEqual([]);
    expect((await world.stored(topic)).length).toBe(mode === 'queue' ? 1 : 2);
    const other = await world.subscriber(`short ${mode}`);
    const subscribed = performance.now();
    await other.subscribe(topic);
    await other.receives(mode === 'queue' ? 1 : 2);
    expect(performance.now() - subscribed).toBeLessThan(GRACE_MS);
    expect(large.equals(other.received[0]?.payload as Buffer)).toBe(true);
    await world.quiet();
    await world.storedCount(mode === 'queue' ? 0 : 2);
  });

  // No path of EMQX's REST API can name it: its inbox can't be made.
  it('promise 20: a client id of 60,000 bytes takes no message from other clients', async () => {
    const { world } = stage;
    await store('t/20/inbox/id', ['kept']);
    await world.storedCount(1);
    const long = await world.subscriber('x'.repeat(60_000));
    await long.subscribe('t/20/inbox/id');
    await world.quiet();
    expect((await world.stored()).map(({ text }) => text)).toEqual(['kept']);
    const other = await world.subscriber('beside it');
    await other.subscribe('t/20/inbox/id');
    expect(await other.receives(1)).toEqual(['kept']);
    await world.storedCount(0);
  });

  // The guard is in Asker.ask: the error is noted for the client alone.
  it('promise 20: an EMQX error about one client delays no other client', async () => {
    const { world } = stage;
    world.emqx.rest.spoiled = { route: /^GET .*\/clients\/one/, outage: 500 };
    const names = ['one', ...Array.from({ length: 8 }, (_, i) => `other-${i}`)];
    for (const name of names) await store(`t/20/asked/${name}`, ['stored']);
    await world.storedCount(names.length);
    const subscribers = await Promise.all(names.map((name) => world.subscriber(name, { clean: false, protocolVersion: 4 })));
    await Promise.all(names.map((name, i) => subscribers[i]?.subscribe(`t/20/asked/${name}`)));
    const [one, ...others] = subscribers;
    for (const other of others) expect(await other.receives(1)).toEqual(['stored']);
    await world.storedCount(1);
    expect(one?.texts).toEqual([]);
    world.emqx.rest.spoiled = null;
    await waitFor('the one, too', () => one?.texts.length === 1);
    await world.storedCount(0);
    await world.quiet();
    expect(subscribers.map(({ texts }) => texts.length)).toEqual(names.map(() => 1));
  });

  // The guard is the topic in the signature (Signer).
  it.each([
    ['with the supplied rule', ['offline-messages']],
    ['with a rule without its filter', null],
  ])("promise 24: a forwarded message with the server's mark is stored separately, %s", async (which, rules) => {
    const { world } = stage;
    await world.useRules(rules);
    await world.publish('t/24/from', 'original', { properties: { userProperties: { a: '1' } } });
    const [original] = await world.storedCount(1);
    const forwarder = await world.subscriber(`forwarder ${which}`, { protocolVersion: 5 });
    forwarder.holdAcks();
    await forwarder.subscribe('t/24/from');
    await forwarder.receives(1);
    const { userProperties = {} } = forwarder.received[0]?.properties ?? {};
    expect(userProperties).toMatchObject({ a: '1', 'offline-msgid': original?.id });
    await world.publish('t/24/to', 'forwarded', { properties: { userProperties } });
    const stored = await world.storedCount(2);
    const reader = await world.subscriber(`reader ${which}`);
    await reader.subscribe('t/24/to');
    expect(await reader.receives(1)).toEqual(['forwarded']);
    await waitFor('it to be removed', async () => (await world.stored()).length < stored.length);
    await world.quiet();
    expect((await world.stored()).map(({ id }) => id)).toEqual([original?.id]);
  });
}
