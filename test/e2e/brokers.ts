import type { IClientOptions } from 'mqtt';
import { publishEvent } from '../support/events';
import { newId } from '../support/messages';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/** EMQX with other settings, of another version, or with limited permissions for the API key. */
export const brokers: Suite = {
  name: 'EMQX with other settings',
  policies: [
    { filter: 't/kept/#', qos0: 'keep' },
    { filter: 't/skipped/#', qos0: 'skip' },
    { filter: 't/each/#', mode: 'pubsub' },
  ],
  tests,
};

function tests(stage: Stage): void {
  const texts = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`);
  const publish = async (topic: string, count: number) => {
    await stage.world.post(texts(count).map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text) })));
    await stage.world.storedCount(count);
  };
  const idOf = (name: string) => name.replace(/\W/g, '-');

  describe('with durable sessions, where EMQX reports no acknowledgements', () => {
    beforeEach(() => {
      stage.world.emqx.broker.durableSessions = true;
    });
    const CLEAN: IClientOptions = { protocolVersion: 5, clean: true, properties: { sessionExpiryInterval: 300 } };
    const PERSISTENT: IClientOptions = { ...CLEAN, clean: false };

    // The guards: mayBeDurable in freshness.ts (of the first), fateOf in parcel.ts.
    it.each([
      ['a new session', CLEAN, 't/durable/new'],
      ['a resumed session', PERSISTENT, 't/durable/asked'],
      ['under qos0 keep', PERSISTENT, 't/kept/durable'],
      ['under qos0 skip', PERSISTENT, 't/skipped/durable'],
    ])('a message that EMQX has taken counts as delivered: %s', async (name, options, topic) => {
      const { world } = stage;
      await publish(topic, 150);
      const subscriber = await world.subscriber(idOf(`durable ${name}`), options);
      await subscriber.subscribe(topic);
      expect(await subscriber.receives(150)).toEqual(texts(150));
      await world.storedCount(0);
      await subscriber.subscribe(topic);
      await world.timePasses();
      expect(subscriber.texts).toEqual(texts(150));
    });

    it('in pubsub mode a message counts as read for the receiving client only', async () => {
      const { world } = stage;
      await publish('t/each/durable', 5);
      const first = await world.subscriber('durable-each', PERSISTENT);
      await first.subscribe('t/each/durable');
      await first.receives(5);
      await world.quiet();
      await first.subscribe('t/each/durable');
      await world.timePasses();
      expect(first.texts).toEqual(texts(5));
      expect(await world.stored()).toHaveLength(5);
    });

    it('a session that ends with its connection still removes messages by acknowledgement only', async () => {
      const { world } = stage;
      await publish('t/durable/none', 3);
      const subscriber = await world.subscriber('durable-none', { protocolVersion: 5 });
      const acknowledge = subscriber.holdAcks();
      await subscriber.subscribe('t/durable/none');
      await subscriber.receives(1);
      await world.quiet();
      expect(await world.stored()).toHaveLength(3);
      acknowledge();
      await world.storedCount(0);
      expect(subscriber.texts).toEqual(texts(3));
    });
  });

  it('each message arrives once when EMQX dispatches only a part of a bulk publish (503)', async () => {
    const { world } = stage;
    const topic = 't/part';
    await publish(topic, 40);
    let refusals = 7;
    world.emqx.rest.dispatches = (entry) => !(Buffer.from(String(entry['payload']), 'base64').toString().endsWith('3') && refusals-- > 0);
    const subscriber = await world.subscriber('part');
    await subscriber.subscribe(topic);
    await subscriber.receives(40);
    await world.storedCount(0);
    expect([...subscriber.texts].sort()).toEqual([...texts(40)].sort());
    expect(refusals).toBeLessThan(0);
  });

  // Within one bulk the guard is NotDispatchedError in Publisher (publish.test.ts); a lane's jobs are told apart by Consumer.
  it('promise 20: a client whose connection accepts no message delays no other client', async () => {
    const { world } = stage;
    for (const topic of ['t/stuck/1', 't/stuck/2']) await world.publish(topic, topic);
    await world.storedCount(2);
    let isStuck = true;
    world.emqx.rest.dispatches = ({ topic }) => !(isStuck && topic === 't/stuck/1');
    const [stuck, well] = [await world.subscriber('stuck'), await world.subscriber('well')];
    await stuck.subscribe('t/stuck/1');
    await well.subscribe('t/stuck/2');
    expect(await well.receives(1)).toEqual(['t/stuck/2']);
    expect(stuck.texts).toEqual([]);
    isStuck = false;
    expect(await stuck.receives(1)).toEqual(['t/stuck/1']);
    await world.storedCount(0);
    expect(stuck.texts).toHaveLength(1);
  });

  describe("EMQX 6's message queues", () => {
    // The guard: the look for `$queue/` in events.ts.
    it('a subscription to a message queue starts no delivery', async () => {
      const { world } = stage;
      await publish('t/jobs', 3);
      world.emqx.broker.messageQueues = true;
      const subscriber = await world.subscriber('queues');
      for (const name of ['$queue/t/jobs', '$queue/t', '$q/t/#', '$s/t/#']) await subscriber.subscribe(name);
      await world.quiet();
      await world.timePasses();
      expect([world.delivered, await world.stored('t/jobs')]).toMatchObject([[], [{}, {}, {}]]);
      expect(await (await world.request('GET', '/v1/dead-letters')).json()).toMatchObject({ letters: [] });
    });
  });

  describe('an API key with limited permissions', () => {
    // The guards: ForbiddenError in asker.ts, v5-health.ts.
    it.each([
      ['GET /nodes', /^GET .*\/nodes/],
      ['GET /nodes and everything about clients (the role publisher)', /^(GET|POST) .*\/(nodes|clients)/],
    ])('deliveries work and the server is ready without permission for %s', async (name, route) => {
      const { world } = stage;
      const topic = `t/closed/${idOf(name)}`;
      await publish(topic, 3);
      world.emqx.rest.spoiled = { route, outage: 403 };
      const subscriber = await world.subscriber(idOf(name), {
        protocolVersion: 5,
        clean: false,
        properties: { sessionExpiryInterval: 300 },
      });
      await subscriber.subscribe(topic);
      expect(await subscriber.receives(3)).toEqual(texts(3));
      await world.storedCount(0);
      const { checks } = (await (await world.request('GET', '/readyz')).json()) as {
        checks: { name: string; ok: boolean; detail: string }[];
      };
      expect(checks.find((check) => check.name === 'emqx')).toMatchObject({
        ok: true,
        detail: expect.stringMatching(/unknown \(GET \/nodes: 403/),
      });
      world.emqx.rest.spoiled = null;
    });
  });

  describe('a listener with a mountpoint', () => {
    const filters = (clientid: string) => [...(stage.world.emqx.broker.sessions.get(clientid)?.subscriptions.keys() ?? [])].sort();

    // The guard: unmounted in subscriptions.ts. The second rule is one from before the column: EMQX is asked.
    it.each([
      ['the event', (sql: string) => sql],
      ['EMQX', (sql: string) => sql.replace(' mountpoint,', '')],
    ])('restored subscriptions are mounted once when %s reports the mountpoint', async (who, change) => {
      const { world } = stage;
      const id = idOf(`mounted ${who}`);
      await world.useRules([]);
      await world.importChanged('full', change);
      world.emqx.broker.mountpointOf = (clientid) => (clientid === id ? 'mp/' : null);
      const first = await world.subscriber(id);
      for (const filter of ['t/1', '$share/g/t/#']) await first.subscribe(filter);
      await world.quiet();
      const both = ['$share/g/mp/t/#', 'mp/t/1'];
      expect(filters(id)).toEqual(both);
      await world.leave(first);
      for (let i = 0; i < 2; i++) {
        const again = await world.subscriber(id);
        await waitFor('its subscriptions', () => filters(id).length === 2);
        await world.quiet();
        expect(filters(id)).toEqual(both);
        await world.leave(again);
      }
      const last = await world.subscriber(id);
      await waitFor('its subscriptions', () => filters(id).length === 2);
      await world.request('DELETE', `/v1/clients/${id}/subscriptions`);
      await waitFor('their end', () => filters(id).length === 0);
      await last.disconnect();
    });
  });

  describe('exclusive subscriptions', () => {
    it('assigned by an operator are restored as exclusive and deliver stored messages', async () => {
      const { world } = stage;
      await world.useRules(['full']);
      await publish('t/exclusive/1', 2);
      await world.request('PUT', '/v1/clients/exclusive/subscriptions', { subscriptions: [{ topic: '$exclusive/t/exclusive/1', qos: 1 }] });
      await world.quiet();
      for (let i = 0; i < 2; i++) {
        const subscriber = await world.subscriber('exclusive');
        await waitFor('its subscription', () => world.emqx.rest.subscribes.length === i + 1);
        if (i === 0) expect(await subscriber.receives(2)).toEqual(texts(2));
        await world.quiet();
        await world.leave(subscriber);
      }
      expect(world.emqx.rest.subscribes.map(({ entries }) => entries.map(({ topic }) => topic))).toEqual([
        ['$exclusive/t/exclusive/1'],
        ['$exclusive/t/exclusive/1'],
      ]);
    });
  });
}
