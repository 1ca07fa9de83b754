import { newId } from '../support/messages';
import { ackEvent, publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';
import { RetainedView } from './retained-view';

/** Retained messages: as EMQX publishes them, and back into a broker that has lost them. By themselves and by the clock: restore.ts. */
export const retained: Suite = {
  name: 'retained messages',
  policies: [
    { filter: 't/retained/off/#', retain: 'off' },
    { filter: 't/retained/alone/#', retain: 'store', mode: 'off' },
    { filter: 't/retained/restore/#', retain: 'restore' },
    { filter: 't/retained/#', retain: 'store' },
  ],
  tests,
};

function tests(stage: Stage): void {
  const { list, texts, restore, atEmqx, published, done } = new RetainedView(() => stage.world);
  const restored = (outcome: string) => stage.world.metric(`retained_restored_total{outcome="${outcome}"`);
  /** Every test has topics of its own: what is retained stays in the store. */
  let topic = '';
  let number = 0;
  beforeEach(() => (topic = `t/retained/${++number}`));

  it('are stored, replaced, and deleted by an empty payload, at QoS 0 too', async () => {
    const { world } = stage;
    await world.publish(`${topic}/a`, 'one', { retain: true, qos: 0 });
    await world.publish(`${topic}/b`, 'other', { retain: true });
    await world.publish(`${topic}/c`, 'not retained');
    await texts(`${topic}/#`, ['one', 'other']);
    await world.publish(`${topic}/a`, 'two', { retain: true });
    await texts(`${topic}/#`, ['two', 'other']);
    await world.publish(`${topic}/b`, '', { retain: true, qos: 0 });
    await texts(`${topic}/#`, ['two']);
    expect(await list(`${topic}/#`)).toMatchObject([{ topic: `${topic}/a`, retain: true, text: 'two' }]);
  });

  // A retained last will has the id of its client's CONNECT. With ids alone a restore would bring a dead device back to life.
  it('a last will replaces messages published after its CONNECT, in any order of events', async () => {
    const { world } = stage;
    const at = Date.now() - 600_000;
    const [willId, birthId] = [newId(), newId()];
    const event = (name: string, id: string, text: string, publishReceivedAt: number) =>
      publishEvent({
        topic: `${topic}/${name}`,
        id: `${id.slice(0, 31)}${name}`,
        payload: Buffer.from(text),
        retain: true,
        publishReceivedAt,
      });
    const [birth, will] = [
      (name: string) => event(name, birthId, 'online', at),
      (name: string) => event(name, willId, 'offline', at + 600_000),
    ];
    await world.post(birth('A'));
    await world.post(will('A'));
    await world.post(will('B'));
    await world.post(birth('B'));
    await texts(`${topic}/#`, ['offline', 'offline']);
    await waitFor('all four', async () => (await world.stored(`${topic}/#`)).length === 4);
    // Ordinary copies stand in the order of their ids (semantics.md).
    expect((await world.stored(`${topic}/#`)).map(({ text }) => text)).toEqual(['offline', 'online', 'offline', 'online']);
  });

  it('are restored into an empty EMQX once, with all properties, and not stored again', async () => {
    const { world } = stage;
    await world.useRules(null);
    const properties = { contentType: 'text/plain', messageExpiryInterval: 600, userProperties: { a: '1' } };
    for (let i = 0; i < 40; i++)
      await world.publish(`${topic}/${String(i).padStart(2, '0')}`, `m${i}`, { retain: true, qos: i % 2 === 0 ? 1 : 0, properties });
    await texts(
      `${topic}/#`,
      Array.from({ length: 40 }, (_, i) => `m${i}`),
    );
    const before = await list(`${topic}/#`);
    world.emqx.broker.retained.clear();
    await restore(`${topic}/#`);
    await waitFor('all at EMQX', () => world.emqx.broker.retained.size === 40);
    await done();
    expect(published()).toHaveLength(40);
    expect(await list(`${topic}/#`)).toEqual(before);
    // Ordinary copies: of the QoS 1 ones only, and none more than before.
    expect(await world.stored(`${topic}/#`)).toHaveLength(20);

    const subscriber = await world.subscriber('later', { protocolVersion: 5 });
    await subscriber.subscribe(`${topic}/00`);
    await subscriber.receives(1);
    const [packet] = subscriber.received;
    expect(packet).toMatchObject({
      retain: true,
      qos: 1,
      properties: { contentType: 'text/plain', userProperties: { a: '1', 'offline-msgid': before[0]!.id } },
    });
    expect(packet!.properties!.messageExpiryInterval).toBeLessThanOrEqual(600);
    // Its ack removes the ordinary copy; nothing is sent beside EMQX's own.
    await world.storedCount(19, `${topic}/#`);
    await world.quiet();
    expect(subscriber.texts).toEqual(['m0']);
    // Again: nothing is missing.
    await restore(`${topic}/#`);
    await done();
    expect(published()).toHaveLength(40);
  });

  if (stage.form === 'short') return;

  it('are not kept with retain: off, and are the only copies kept with mode: off', async () => {
    const { world } = stage;
    await world.publish('t/retained/off/1', 'x', { retain: true });
    await world.publish('t/retained/alone/1', 'y', { retain: true });
    await texts('t/retained/alone/#', ['y']);
    await world.quiet();
    expect(await list('t/retained/off/#')).toEqual([]);
    expect((await world.stored()).map(({ text }) => text)).toEqual(['x']);
  });

  // The newest id wins whatever the order of events. The guards: the store's comparison of ids, RetainedKeeper.cleared.
  it.each([
    ['a publish arrives after its deletion', ['M1', 'D2'], ['D2', 'M1'], []],
    ['the older publish arrives last', ['M1', 'M2'], ['M2', 'M1'], ['M2']],
    ['an older deletion arrives last', ['M1', 'D2', 'M3'], ['M1', 'M3', 'D2'], ['M3']],
    ['every event arrives twice', ['M1', 'D2', 'M3', 'D4'], ['M1', 'D2', 'M3', 'D4', 'M1', 'M3', 'D2'], []],
  ])('are kept by the newest id in any order of events: %s', async (_, all, order, left) => {
    const { world } = stage;
    const events = new Map(
      all.map((text) => [text, publishEvent({ topic, id: newId(), retain: true, payload: Buffer.from(text.startsWith('D') ? '' : text) })]),
    );
    for (const text of order) {
      await world.post(events.get(text));
      await world.quiet();
    }
    await texts(topic, left);
  });

  it.each(['off', 'store', 'restore'])('are sent once, by EMQX, with retain %s', async (retain) => {
    const { world } = stage;
    const path = retain === 'store' ? topic : `t/retained/${retain}/once`;
    await world.publish(path, 'kept by both', { retain: true });
    await world.storedCount(1);
    const subscriber = await world.subscriber(`once ${retain}`);
    await subscriber.subscribe(path);
    expect(await subscriber.receives(1)).toEqual(['kept by both']);
    expect(subscriber.received[0]!.retain).toBe(true);
    await world.storedCount(0);
    await world.quiet();
    expect(subscriber.texts).toEqual(['kept by both']);
    expect(world.delivered).toEqual([]);
  });

  // No ack tells that EMQX's copy arrived. The guard is Sender.sentByEmqx: the look after 10 s would send it again.
  it('promise 16: are sent to a QoS 0 subscriber once', async () => {
    const { world } = stage;
    await world.publish(topic, 'kept by both', { retain: true });
    await world.storedCount(1);
    const subscriber = await world.subscriber(`s0 ${topic}`);
    await subscriber.subscribe(topic, 0);
    await subscriber.receives(1);
    await world.quiet();
    await world.timePasses();
    // The check 10 s after the subscription removes it: at QoS 0 the delivery is enough.
    await world.storedCount(0);
    await world.quiet();
    expect(subscriber.texts).toEqual(['kept by both']);
    expect(world.delivered).toEqual([]);
  });

  it('promise 16: are sent to a QoS 0 subscriber by the server when EMQX lost them', async () => {
    const { world } = stage;
    await world.publish(topic, 'kept by us', { retain: true });
    await world.storedCount(1);
    world.emqx.broker.retained.clear();
    const subscriber = await world.subscriber(`s0 ${topic}`);
    await subscriber.subscribe(topic, 0);
    await world.quiet();
    await world.timePasses();
    expect(await subscriber.receives(1)).toEqual(['kept by us']);
    await world.storedCount(0);
  });

  describe('that POST /v1/retained/restore restores', () => {
    // The guard is Restorer.isAlive.
    it('promise 12: have their remaining expiry, and expired ones are left out', async () => {
      const { world } = stage;
      const at = Date.now() - 10_000;
      const event = (path: string, seconds: number) =>
        publishEvent({
          topic: `${topic}/${path}`,
          id: newId(),
          retain: true,
          publishReceivedAt: at,
          properties: { messageExpiryInterval: seconds },
        });
      await world.post([event('alive', 100), event('expired', 5)]);
      await waitFor('it to be stored', async () => (await list(`${topic}/#`)).length === 1);
      await restore(`${topic}/#`);
      await waitFor('it at EMQX', () => atEmqx(`${topic}/alive`) === 'hello');
      await done();
      expect(world.emqx.rest.publishes).toHaveLength(1);
      const { message_expiry_interval: left } = world.emqx.rest.publishes[0]!['properties'] as { message_expiry_interval: number };
      expect(left).toBeGreaterThan(60);
      expect(left).toBeLessThanOrEqual(90);
    });

    // The guard is absentOf.
    it('never replace a message that EMQX has', async () => {
      const { world } = stage;
      await world.publish(topic, 'old', { retain: true });
      await texts(topic, ['old']);
      const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
      await world.publish(topic, 'new', { retain: true }, 'another');
      await restore(topic);
      await done();
      expect(published()).toEqual([]);
      expect(atEmqx(topic)).toBe('new');
      held.release();
      await texts(topic, ['new']);
    });

    // The guards: RestoredCopies noted before the reading, RetainedKeeper.reconcile, Restorer.reconcile.
    it.each([
      ['replaces it', 'new', 'new'],
      ['deletes it', '', undefined],
    ])('give way to a client that %s between the check and the publish', async (_, payload, left) => {
      const { world } = stage;
      await world.publish(topic, 'old', { retain: true });
      await texts(topic, ['old']);
      world.emqx.broker.retained.clear();
      const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
      const common = { clientid: 'racer', username: null, topic, qos: 1 as const, retain: true, properties: {} };
      world.emqx.rest.before = (route) => {
        if (route !== 'POST /publish') return;
        world.emqx.rest.before = () => undefined;
        world.emqx.broker.publish({ ...common, payload: Buffer.from(payload) });
      };
      await restore(topic);
      await done();
      // EMQX keeps what came last: this is what remains, until the event arrives.
      expect(atEmqx(topic)).toBe('old');
      held.release();
      await waitFor('the client to have its way', () => atEmqx(topic) === left);
      await texts(topic, left === undefined ? [] : [left]);
      await done();
      expect(atEmqx(topic)).toBe(left);
    });

    // EMQX kept the event while we were away; the deletion wins when it arrives.
    it('are deleted in EMQX when their deletion event arrives after the restore', async () => {
      const { world } = stage;
      await world.publish(topic, 'old', { retain: true });
      await texts(topic, ['old']);
      const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
      await world.publish(topic, '', { retain: true }, 'another');
      expect(atEmqx(topic)).toBeUndefined();
      await restore(topic);
      await waitFor('it at EMQX', () => atEmqx(topic) === 'old');
      held.release();
      await waitFor('the deletion', () => atEmqx(topic) === undefined);
      await texts(topic, []);
    });

    it('leave later publishes of a client unchanged', async () => {
      const { world } = stage;
      await world.publish(topic, 'old', { retain: true });
      await texts(topic, ['old']);
      world.emqx.broker.retained.clear();
      await restore(topic);
      await done();
      await world.publish(topic, 'new', { retain: true });
      await texts(topic, ['new']);
      await world.publish(topic, '', { retain: true });
      await texts(topic, []);
      await done();
      expect(published()).toEqual([`${topic} old`]);
      expect(atEmqx(topic)).toBeUndefined();
    });

    it('are counted as refused when EMQX does not retain them; the others are restored', async () => {
      const { world } = stage;
      for (const path of ['a', 'b', 'c']) await world.publish(`${topic}/${path}`, path, { retain: true });
      await texts(`${topic}/#`, ['a', 'b', 'c']);
      world.emqx.broker.retained.clear();
      const before = [await restored('restored'), await restored('refused')];
      world.emqx.broker.retains = (each) => !each.endsWith('/b');
      await restore(`${topic}/#`);
      await waitFor('the others at EMQX', () => world.emqx.broker.retained.size === 2);
      await done();
      expect([await restored('restored'), await restored('refused')]).toEqual([before[0]! + 2, before[1]! + 1]);
      expect(published()).toHaveLength(3);
    });
  });

  it("promise 18: with a forged mark are stored as a client's messages", async () => {
    const { world } = stage;
    await world.useRules(null);
    const properties = { userProperties: { 'offline-msgid': newId(), 'offline-sig': 'A'.repeat(43) } };
    await world.publish(topic, 'forged mark', { retain: true, properties });
    await texts(topic, ['forged mark']);
    await world.post(ackEvent(newId(), topic));
  });
}
