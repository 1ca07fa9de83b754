import { laneOf } from '../../src/queue/names';
import { newId } from '../support/messages';
import { publishEvent } from '../support/events';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type Subscriber, type WorldOptions } from './world';

/** Many-to-many delivery on one choice of queue and store. Positions outlive a test: each has a topic and clients of its own. */
export function pubsub(name: string, env: () => Record<string, string>): void {
  describe(`pubsub, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (policies: readonly object[] = [{}], options: WorldOptions = {}) => {
      const list = JSON.stringify(policies.map((policy) => ({ filter: '#', mode: 'pubsub', deliverTo: 'inbox', ...policy })));
      world = await World.start({ ...options, env: { DATA_DIR: directory.path, ...env(), POLICIES: list } });
      await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
    };
    const post = async (body: unknown) => {
      const answer = await fetch(`${world.server.url}/v1/events`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
      expect(answer.status).toBe(202);
    };
    const publish = async (topic: string, ...texts: string[]) => {
      for (const text of texts) await world.publish(topic, text);
    };
    /** Connects, subscribes, waits until nothing more comes, and leaves. */
    const visit = async (clientid: string, filter: string, qos: 0 | 1 = 1) => {
      const subscriber = await world.subscriber(clientid);
      await subscriber.subscribe(filter, qos);
      await world.quiet();
      await leave(subscriber);
      return subscriber.texts;
    };
    const leave = async (subscriber: Subscriber) => {
      const clientid = String(subscriber.client.options.clientId);
      await subscriber.disconnect();
      await waitFor('the end of its session', () => !world.emqx.broker.sessions.has(clientid));
      await world.quiet();
    };
    afterEach(async () => {
      expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
      await world.stop();
    });
    afterAll(() => directory.remove());

    it.each(['inbox', 'topic'])('gives each client everything, in order, once (%s)', async (deliverTo) => {
      await start([{ deliverTo }]);
      const topic = `t/all/${deliverTo}`;
      await publish(topic, 'a', 'b', 'c');
      await world.storedCount(3);
      for (const clientid of [`all-1-${deliverTo}`, `all-2-${deliverTo}`]) expect(await visit(clientid, topic)).toEqual(['a', 'b', 'c']);
      await publish(topic, 'd');
      await world.storedCount(4);
      for (const clientid of [`all-1-${deliverTo}`, `all-2-${deliverTo}`]) expect(await visit(clientid, 't/all/+')).toEqual(['d']);
      expect(await visit(`all-1-${deliverTo}`, topic)).toEqual([]);
    });

    it('sends what was not acknowledged to a client that comes back, and nothing else', async () => {
      await start([{ window: 4 }]);
      await publish('t/back', ...'abcdef');
      await world.storedCount(6);
      const first = await world.subscriber('back');
      let handled = 0;
      first.client.handleMessage = (_packet, done) => void (handled++ < 3 && done());
      await first.subscribe('t/back');
      await first.receives(4);
      await world.quiet();
      first.client.end(true);
      await waitFor('the end of its session', () => !world.emqx.broker.sessions.has('back'));
      const again = await world.subscriber('back');
      await again.subscribe('t/back');
      expect(await again.receives(3)).toEqual(['d', 'e', 'f']);
      await world.quiet();
      expect(again.texts).toHaveLength(3);
    });

    // The guard is Lanes.turn: BullMQ puts a delivery whose fences are passed before the acknowledgements that wait in the lane.
    it('counts acknowledgements that wait in a lane which is behind', async () => {
      await start();
      const waiting = async () => {
        const { lanes } = (await (await fetch(`${world.server.url}/v1/stats`)).json()) as { lanes: { name: string; waiting: number }[] };
        return lanes.filter((lane) => lane.name.startsWith('clients')).reduce((sum, lane) => sum + lane.waiting, 0);
      };
      const sameLane = Array.from({ length: 100 }, (_, i) => `turn-${i}`).find((each) => laneOf(each, 4) === laneOf('turn', 4)) as string;
      await publish('t/turn/other', 'stored');
      await world.storedCount(1);
      const live = await world.subscriber('turn');
      await live.subscribe('t/turn/live');
      await world.quiet();

      world.emqx.rest.outage = 503;
      const other = await world.subscriber(sameLane);
      await other.subscribe('t/turn/other');
      await waitFor('its delivery to be tried', () => world.emqx.rest.refused > 0);
      await publish('t/turn/live', 'a', 'b', 'c');
      await live.receives(3);
      await waitFor('the acknowledgements to wait', async () => world.emqx.action.pending === 0 && (await waiting()) >= 1);
      const before = await waiting();
      await live.subscribe('t/turn/live');
      await waitFor('the subscription to wait', async () => (await waiting()) > before);
      world.emqx.rest.outage = null;
      expect(await other.receives(1)).toEqual(['stored']);
      await world.quiet();
      expect(live.texts).toEqual(['a', 'b', 'c']);
    });

    it('sends nothing again that was acknowledged just before', async () => {
      await start();
      const texts = Array.from({ length: 60 }, (_, i) => `m${i}`);
      await publish('t/quick', ...texts);
      await world.storedCount(60);
      const subscriber = await world.subscriber('quick');
      await subscriber.subscribe('t/quick');
      for (let count = 10; count <= 60; count += 10) {
        await subscriber.receives(count);
        await subscriber.subscribe('t/quick');
      }
      await world.quiet();
      const published = world.emqx.rest.publishes.map((entry) => Buffer.from(String(entry['payload']), 'base64').toString());
      expect(published).toEqual(texts);
    });

    it('counts what EMQX delivered itself', async () => {
      await start();
      const live = await world.subscriber('live');
      await live.subscribe('t/live');
      await publish('t/live', 'a', 'b');
      await live.receives(2);
      await world.storedCount(2);
      await leave(live);
      await publish('t/live', 'c');
      await world.storedCount(3);
      expect(await visit('live', 't/live')).toEqual(['c']);
      expect(await visit('live-not', 't/live')).toEqual(['a', 'b', 'c']);
    });

    // Promise 17.
    it('17: delivers what is stored late, with an id below those that were read', async () => {
      await start();
      const late = newId();
      await post(publishEvent({ topic: 't/late', id: newId(), payload: Buffer.from('newer') }));
      expect(await visit('late', 't/late')).toEqual(['newer']);
      await post(publishEvent({ topic: 't/late', id: late, payload: Buffer.from('late') }));
      expect(await visit('late', 't/late')).toEqual(['late']);
      expect(await visit('late', 't/late')).toEqual([]);
    });

    it('keeps positions over a restart, and starts nobody twice on one event', async () => {
      await start();
      await publish('t/restart', 'a');
      await world.storedCount(1);
      expect(await visit('restart', 't/restart')).toEqual(['a']);
      await world.restartServer();
      expect(await visit('restart', 't/restart')).toEqual([]);
    });

    it.each(['inbox', 'topic'])('has one position for a shared group and one for each other (%s)', async (deliverTo) => {
      await start([{ deliverTo }]);
      const topic = `t/group/${deliverTo}`;
      await publish(topic, ...'abcd');
      await world.storedCount(4);
      expect(await visit(`m1-${deliverTo}`, `$share/g-${deliverTo}/t/group/+`)).toEqual(['a', 'b', 'c', 'd']);
      await publish(topic, 'e');
      await world.storedCount(5);
      expect(await visit(`m2-${deliverTo}`, `$share/g-${deliverTo}/t/group/+`)).toEqual(['e']);
      expect(await visit(`m3-${deliverTo}`, `$share/other-${deliverTo}/${topic}`)).toEqual(['a', 'b', 'c', 'd', 'e']);
      // A live message that one member acknowledged is read by the group.
      const member = await world.subscriber(`m1-${deliverTo}`);
      await member.subscribe(`$share/g-${deliverTo}/t/group/+`);
      await publish(topic, 'f');
      await member.receives(1);
      await world.quiet();
      await leave(member);
      expect(member.texts).toEqual(['f']);
      expect(await visit(`m2-${deliverTo}`, `$share/g-${deliverTo}/t/group/+`)).toEqual([]);
    });

    it('sends a group that subscribes together each message once', async () => {
      await start();
      const texts = Array.from({ length: 20 }, (_, i) => `m${i}`);
      await publish('t/together', ...texts);
      await world.storedCount(20);
      const members = await Promise.all(Array.from({ length: 5 }, (_, i) => world.subscriber(`together-${i}`)));
      await Promise.all(members.map((member) => member.subscribe('$share/together/t/together')));
      await world.quiet();
      expect(members.flatMap((member) => member.texts).sort()).toEqual([...texts].sort());
    });

    it('starts a new client at its first subscription where the policy says so', async () => {
      await start([{ from: 'now' }]);
      await publish('t/now', 'before');
      await world.storedCount(1);
      expect(await visit('now-exact', 't/now')).toEqual([]);
      expect(await visit('now-wildcard', 't/+')).toEqual([]);
      await publish('t/now', 'between');
      await publish('t/now2', 'new topic');
      await world.storedCount(3);
      expect(await visit('now-exact', 't/now')).toEqual(['between']);
      expect(await visit('now-wildcard', 't/+')).toEqual(['between', 'new topic']);
      expect(await visit('now-wildcard', 't/+')).toEqual([]);
    });

    // Promise 16.
    it('16: counts what a QoS 0 subscriber was sent', async () => {
      await start();
      await publish('t/qos0', 'a');
      await world.storedCount(1);
      expect(await visit('qos0', 't/qos0', 0)).toEqual(['a']);
      expect(await visit('qos0', 't/qos0', 0)).toEqual([]);
      expect(await visit('qos0-other', 't/qos0')).toEqual(['a']);
    });

    it.each(['', '$share/mixed/'])('serves topics of both modes with one subscription (%s#)', async (share) => {
      await start([{ filter: 't/mixed/many/#' }, { filter: '#', mode: 'queue' }]);
      await publish('t/mixed/many/1', 'for all');
      await publish('t/mixed/one', 'for one');
      await world.storedCount(2);
      const name = share === '' ? 'mixed' : 'mixed-shared';
      expect((await visit(`${name}-1`, `${share}t/mixed/#`)).sort()).toEqual(['for all', 'for one']);
      expect((await world.storedCount(1)).map(({ text }) => text)).toEqual(['for all']);
      expect(await visit(`${name}-2`, `${share}t/mixed/#`)).toEqual(share === '' ? ['for all'] : []);
    });
  });
}
