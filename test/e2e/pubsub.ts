import { clientLane, laneOf } from '../../src/lanes/names';
import { clientKey } from '../../src/mqtt/consumer';
import { newId } from '../support/messages';
import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

const MANY = { mode: 'pubsub', deliverTo: 'inbox' };

/** Many-to-many delivery. */
export const pubsub: Suite = {
  name: 'pubsub',
  policies: [
    { filter: 't/many/topic/#', ...MANY, deliverTo: 'topic' },
    { filter: 't/many/window', ...MANY, window: 4 },
    { filter: 't/many/now/#', ...MANY, from: 'now' },
    { filter: 't/many/#', ...MANY },
  ],
  tests,
};

function tests(stage: Stage): void {
  const publish = async (topic: string, ...texts: string[]) => {
    for (const text of texts) await stage.world.publish(topic, text);
  };
  /** Connects, subscribes, waits until nothing more comes, and leaves. */
  const visit = async (clientid: string, filter: string, qos: 0 | 1 = 1) => {
    const subscriber = await stage.world.subscriber(clientid);
    await subscriber.subscribe(filter, qos);
    await stage.world.quiet();
    await stage.world.leave(subscriber);
    return subscriber.texts;
  };

  it.each(['inbox', 'topic'])('promise 6: each client gets every message once and in order (deliverTo %s)', async (deliverTo) => {
    const { world } = stage;
    const topic = `t/many/${deliverTo}/all`;
    await publish(topic, 'a', 'b', 'c');
    await world.storedCount(3);
    for (const clientid of [`all-1-${deliverTo}`, `all-2-${deliverTo}`]) expect(await visit(clientid, topic)).toEqual(['a', 'b', 'c']);
    await publish(topic, 'd');
    await world.storedCount(4);
    for (const clientid of [`all-1-${deliverTo}`, `all-2-${deliverTo}`])
      expect(await visit(clientid, `t/many/${deliverTo}/+`)).toEqual(['d']);
    expect(await visit(`all-1-${deliverTo}`, topic)).toEqual([]);
  });

  it('a client that reconnects is sent only the messages that it did not acknowledge', async () => {
    const { world } = stage;
    await publish('t/many/window', ...'abcdef');
    await world.storedCount(6);
    const first = await world.subscriber('many-back');
    let handled = 0;
    first.client.handleMessage = (_packet, done) => void (handled++ < 3 && done());
    await first.subscribe('t/many/window');
    await first.receives(4);
    await world.quiet();
    await world.breakOff(first);
    const again = await world.subscriber('many-back');
    await again.subscribe('t/many/window');
    await world.quiet();
    // Copies that were sent a moment ago are not sent again before the server knows that they are lost.
    await world.timePasses();
    expect(await again.receives(3)).toEqual(['d', 'e', 'f']);
    await world.quiet();
    expect(again.texts).toHaveLength(3);
  });

  // A client's events are handled in the order of its lane. Here the acknowledgements wait there behind another client's delivery.
  it("acknowledgements that still wait in the client's lane count as read", async () => {
    const { world } = stage;
    const laneOfClient = (clientid: string) => clientLane(laneOf(clientKey(clientid), world.backends.queue.laneCounts.clients));
    const sameLane = Array.from({ length: 100 }, (_, i) => `turn-${i}`).find(
      (each) => laneOfClient(each) === laneOfClient('turn'),
    ) as string;
    /** How many jobs of the lane wait when every event is in the queue; null if they are less than this. */
    const waiting = async (least: number) => {
      const lanes = world.emqx.action.pending === 0 ? await world.lanes() : null;
      const jobs = lanes?.find(({ name }) => name === laneOfClient('turn'))?.waiting ?? 0;
      return jobs >= least ? jobs : null;
    };
    await publish('t/many/turn/other', 'stored');
    await world.storedCount(1);
    const live = await world.subscriber('turn');
    await live.subscribe('t/many/turn/live');
    await world.quiet();

    let answer!: () => void;
    world.emqx.rest.hold = { url: /\/publish/, until: new Promise<void>((resolve) => (answer = resolve)) };
    const other = await world.subscriber(sameLane);
    await other.subscribe('t/many/turn/other');
    await waitFor('its delivery to begin', () => world.emqx.rest.held > 0);
    await publish('t/many/turn/live', 'a', 'b', 'c');
    await live.receives(3);
    const acks = await waitFor('the acknowledgements to wait', () => waiting(1));
    await live.subscribe('t/many/turn/live');
    await waitFor('the subscription to wait', () => waiting(acks + 1));
    answer();
    expect(await other.receives(1)).toEqual(['stored']);
    await world.quiet();
    expect(live.texts).toEqual(['a', 'b', 'c']);
  });

  it('messages that were acknowledged a moment before are not sent again', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 40 }, (_, i) => `m${i}`);
    await world.post(texts.map((text) => publishEvent({ topic: 't/many/quick', id: newId(), payload: Buffer.from(text) })));
    await world.storedCount(40);
    const subscriber = await world.subscriber('quick');
    await subscriber.subscribe('t/many/quick');
    for (let count = 10; count <= 40; count += 10) {
      await subscriber.receives(count);
      await subscriber.subscribe('t/many/quick');
    }
    await world.quiet();
    expect(world.delivered).toEqual(texts);
  });

  it('messages that EMQX delivered and the client acknowledged count as read', async () => {
    const { world } = stage;
    const live = await world.subscriber('many-live');
    await live.subscribe('t/many/live');
    await publish('t/many/live', 'a', 'b');
    await live.receives(2);
    await world.storedCount(2);
    await world.leave(live);
    await publish('t/many/live', 'c');
    await world.storedCount(3);
    expect(await visit('many-live', 't/many/live')).toEqual(['c']);
    expect(await visit('live-not', 't/many/live')).toEqual(['a', 'b', 'c']);
  });

  it('promise 17: a message stored late, with a lower id than the read ones, is delivered', async () => {
    const { world } = stage;
    const late = newId();
    await world.post(publishEvent({ topic: 't/many/late', id: newId(), payload: Buffer.from('newer') }));
    expect(await visit('late', 't/many/late')).toEqual(['newer']);
    await world.post(publishEvent({ topic: 't/many/late', id: late, payload: Buffer.from('late') }));
    expect(await visit('late', 't/many/late')).toEqual(['late']);
    expect(await visit('late', 't/many/late')).toEqual([]);
  });

  if (stage.form === 'short') return;

  it('read positions are kept over a restart of the server', async () => {
    const { world } = stage;
    await publish('t/many/restart', 'a');
    await world.storedCount(1);
    expect(await visit('restart', 't/many/restart')).toEqual(['a']);
    await world.restartServer();
    expect(await visit('restart', 't/many/restart')).toEqual([]);
  });

  it.each(['inbox', 'topic'])('each shared group has one read position of its own (deliverTo %s)', async (deliverTo) => {
    const { world } = stage;
    const topic = `t/many/${deliverTo}/group/1`;
    await publish(topic, ...'abcd');
    await world.storedCount(4);
    expect(await visit(`m1-${deliverTo}`, `$share/g-${deliverTo}/t/many/${deliverTo}/group/+`)).toEqual(['a', 'b', 'c', 'd']);
    await publish(topic, 'e');
    await world.storedCount(5);
    expect(await visit(`m2-${deliverTo}`, `$share/g-${deliverTo}/t/many/${deliverTo}/group/+`)).toEqual(['e']);
    expect(await visit(`m3-${deliverTo}`, `$share/other-${deliverTo}/${topic}`)).toEqual(['a', 'b', 'c', 'd', 'e']);
    // A live message that one member acknowledged is read by the group.
    const member = await world.subscriber(`m1-${deliverTo}`);
    await member.subscribe(`$share/g-${deliverTo}/t/many/${deliverTo}/group/+`);
    await publish(topic, 'f');
    await member.receives(1);
    await world.quiet();
    await world.leave(member);
    expect(member.texts).toEqual(['f']);
    expect(await visit(`m2-${deliverTo}`, `$share/g-${deliverTo}/t/many/${deliverTo}/group/+`)).toEqual([]);
  });

  it('a group whose members subscribe together gets each message once', async () => {
    const { world } = stage;
    const texts = Array.from({ length: 20 }, (_, i) => `m${i}`);
    await world.post(texts.map((text) => publishEvent({ topic: 't/many/together', id: newId(), payload: Buffer.from(text) })));
    await world.storedCount(20);
    const members = await Promise.all(Array.from({ length: 5 }, (_, i) => world.subscriber(`together-${i}`)));
    await Promise.all(members.map((member) => member.subscribe('$share/together/t/many/together')));
    await world.quiet();
    expect(members.flatMap((member) => member.texts).sort()).toEqual([...texts].sort());
  });

  it('a new client reads from its first subscription when the policy has from: now', async () => {
    const { world } = stage;
    await publish('t/many/now/1', 'before');
    await world.storedCount(1);
    expect(await visit('now-exact', 't/many/now/1')).toEqual([]);
    expect(await visit('now-wildcard', 't/many/now/+')).toEqual([]);
    await publish('t/many/now/1', 'between');
    await publish('t/many/now/2', 'new topic');
    await world.storedCount(3);
    expect(await visit('now-exact', 't/many/now/1')).toEqual(['between']);
    expect(await visit('now-wildcard', 't/many/now/+')).toEqual(['between', 'new topic']);
    expect(await visit('now-wildcard', 't/many/now/+')).toEqual([]);
  });

  it('promise 16: a message sent to a QoS 0 subscriber counts as read', async () => {
    const { world } = stage;
    await publish('t/many/qos0', 'a');
    await world.storedCount(1);
    expect(await visit('qos0', 't/many/qos0', 0)).toEqual(['a']);
    expect(await visit('qos0', 't/many/qos0', 0)).toEqual([]);
    expect(await visit('qos0-other', 't/many/qos0')).toEqual(['a']);
  });

  it.each(['', '$share/mixed/'])('one subscription receives topics of both modes (%st/+/mixed/#)', async (share) => {
    const { world } = stage;
    await publish('t/many/mixed/1', 'for all');
    await publish('t/one/mixed/1', 'for one');
    await world.storedCount(2);
    const name = share === '' ? 'mixed' : 'mixed-shared';
    expect((await visit(`${name}-1`, `${share}t/+/mixed/#`)).sort()).toEqual(['for all', 'for one']);
    expect((await world.storedCount(1)).map(({ text }) => text)).toEqual(['for all']);
    expect(await visit(`${name}-2`, `${share}t/+/mixed/#`)).toEqual(share === '' ? ['for all'] : []);
  });
}
