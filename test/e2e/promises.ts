import type { IPublishPacket } from 'mqtt';
import { newId } from '../support/messages';
import { ackEvent, publishEvent } from '../support/events';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type WorldOptions } from './world';

/** The promises of the design, each on real MQTT clients; `env` chooses queue and store. */
export function promises(name: string, env: () => Record<string, string>): void {
  describe(`promises, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (options: WorldOptions = {}) => {
      world = await World.start({ ...options, env: { DATA_DIR: directory.path, ...env(), ...options.env } });
      await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
    };
    const post = async (body: unknown) => {
      const answer = await fetch(`${world.server.url}/v1/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(202);
    };
    const letters = async () => {
      const answer = await fetch(`${world.server.url}/v1/dead-letters`);
      return ((await answer.json()) as { letters: { id: string; reason: string; event: { id: string } }[] }).letters;
    };
    afterEach(() => world.stop());
    afterAll(() => directory.remove());

    // Promise 2. The guards: ON CONFLICT DO NOTHING and the tombstone in the store's saveMessages.
    it('2: an event that EMQX sends twice has the effect of one', async () => {
      await start();
      const event = publishEvent({ topic: 't/2', id: newId() });
      await post([event, event]);
      await post(event);
      await world.storedCount(1);
      await post(ackEvent(String(event['id']), 't/2'));
      await world.storedCount(0);
      await post(ackEvent(String(event['id']), 't/2'));
      await post(event);
      await world.quiet();
      expect(await world.stored()).toEqual([]);
    });

    // Promise 3. The guard is the tombstone that removeMessages leaves for an id that is not stored.
    it('3: an ack that arrives before its publish still removes the message', async () => {
      await start();
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

    // Promise 5. The guard is recheckLater(GRACE_MS) in Deliverer.subscribed.
    it('5: a publish whose event comes after the subscription is delivered to it', async () => {
      await start();
      const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
      await world.publish('t/5', 'late');
      const subscriber = await world.subscriber('early');
      await subscriber.subscribe('t/5');
      await world.quiet();
      expect(subscriber.texts).toEqual([]);
      held.release();
      expect(await subscriber.receives(1)).toEqual(['late']);
      await world.storedCount(0);
    });

    // The guard is the comparison with run.at in RunReader.page: EMQX delivers a younger message itself, ours would be a second copy.
    it('leaves what was published after the subscription to EMQX', async () => {
      await start();
      const subscriber = await world.subscriber('cutoff');
      world.emqx.broker.sessions.get('cutoff')!.subscriptions.set('t/live', 1);
      const subscribedAt = (timestamp: number) => ({ event: 'session.subscribed', clientid: 'cutoff', topic: 't/live', qos: 1, timestamp });
      const at = Date.now() - 60_000;
      await post(publishEvent({ topic: 't/live', id: newId(), publishReceivedAt: at + 1 }));
      await post(subscribedAt(at));
      await world.quiet();
      expect(world.emqx.rest.publishes).toEqual([]);
      await post(subscribedAt(at + 1));
      expect(await subscriber.receives(1)).toEqual(['hello']);
      await world.storedCount(0);
    });

    // Promise 7. The guard is inboxTopic in Sender.publish: on the topic itself everybody gets it.
    it.each(['plain', 'dev/a+1', 'a#%2Fb', 'клиент 😀'])('7: an inbox delivery to %s reaches that client alone', async (clientid) => {
      await start({ env: { POLICIES: JSON.stringify([{ filter: '#', deliverTo: 'inbox' }]) } });
      await world.publish('t/7', 'for one');
      await world.storedCount(1);
      // Everybody else's topics too, without an event: its own subscription would be one to deliver to.
      const audit = await world.subscriber('audit');
      world.emqx.broker.sessions.get('audit')!.subscriptions.set('#', 1);
      const subscriber = await world.subscriber(clientid);
      await subscriber.subscribe('t/7');
      expect(await subscriber.receives(1)).toEqual(['for one']);
      const encoded = clientid.replace(/[%/+#]/g, (character) => encodeURIComponent(character));
      expect(subscriber.received.map(({ topic }) => topic)).toEqual([`$offline/${encoded}/t/7`]);
      await world.storedCount(0);
      expect(audit.received).toEqual([]);
    });

    // Promise 8. The guards: verified(mark) in route.ts without the rule's filter, and the filter of the shipped rule.
    it.each([
      ['with the shipped rule', ['offline-messages']],
      ["with a rule that doesn't filter", null],
    ])('8: a delivery is never stored again, %s', async (_, rules) => {
      await start({ rules });
      await world.publish('t/8', 'round');
      await world.storedCount(1);
      const subscriber = await world.subscriber('c8');
      await subscriber.subscribe('t/8');
      await subscriber.receives(1);
      await world.storedCount(0);
      await world.quiet();
      expect(await world.stored()).toEqual([]);
      expect(world.emqx.rest.publishes).toHaveLength(1);
    });

    // Promise 11.
    it('11: every byte and every MQTT 5 property arrives, and the API shows it', async () => {
      await start();
      const payload = Buffer.from([0, 255, 254, 128, 0]);
      const properties: IPublishPacket['properties'] = {
        ...{ contentType: 'application/octet-stream', responseTopic: 'r/1', payloadFormatIndicator: false, messageExpiryInterval: 600 },
        ...{ correlationData: Buffer.from([1, 255, 0]), userProperties: { a: '1', b: ['x', 'y'] } },
      };
      await world.publish('t/11', payload, { properties: properties as object });
      const [stored] = await world.storedCount(1);
      expect(Buffer.from(stored!.payload, 'base64')).toEqual(payload);
      expect(stored!.properties).toEqual({
        ...{ content_type: 'application/octet-stream', response_topic: 'r/1', payload_format_indicator: 0, message_expiry_interval: 600 },
        correlation_data: Buffer.from([1, 255, 0]).toString('base64'),
        user_properties: [
          { key: 'a', value: '1' },
          { key: 'b', value: 'x' },
          { key: 'b', value: 'y' },
        ],
      });
      const subscriber = await world.subscriber('c11', { protocolVersion: 5 });
      await subscriber.subscribe('t/11');
      await subscriber.receives(1);
      const [packet] = subscriber.received;
      expect(packet!.payload).toEqual(payload);
      expect(packet!.properties).toMatchObject({ contentType: 'application/octet-stream', responseTopic: 'r/1' });
      expect(packet!.properties!.messageExpiryInterval).toBeGreaterThan(590);
      expect(packet!.properties!.userProperties).toMatchObject({
        ...{ a: '1', b: 'y', 'offline-msgid': stored!.id, 'offline-correlation-data': 'Af8A' },
        'offline-user-properties': JSON.stringify([
          { key: 'a', value: '1' },
          { key: 'b', value: 'x' },
          { key: 'b', value: 'y' },
        ]),
      });
      await world.storedCount(0);
    });

    it.each([
      ['empty', Buffer.alloc(0)],
      ['of 1,000,000 control characters', Buffer.alloc(1_000_000, 1)],
      ['of 1,000,000 random bytes', Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7919) % 256))],
    ])('11: a payload %s arrives as it was', async (_, payload) => {
      await start();
      await world.publish('t/11', payload);
      await world.storedCount(1);
      const subscriber = await world.subscriber('c11');
      await subscriber.subscribe('t/11');
      await subscriber.receives(1);
      expect(payload.equals(subscriber.received[0]!.payload as Buffer)).toBe(true);
      await world.storedCount(0);
    });

    it('sets a message aside that EMQX refuses, and delivers its neighbours', async () => {
      await start();
      await world.publish('t/big', 'before');
      await post(publishEvent({ topic: 't/big', id: newId(), payload: Buffer.alloc(1_048_576) }));
      await world.publish('t/big', 'after');
      await world.storedCount(3);
      const subscriber = await world.subscriber('big');
      await subscriber.subscribe('t/big');
      expect(await subscriber.receives(2)).toEqual(['before', 'after']);
      await world.storedCount(0);
      expect(await letters()).toContainEqual(expect.objectContaining({ reason: expect.stringContaining('packet_too_large') as string }));
    });

    // Promise 18. The guard is Signer.verified in route.ts.
    it('18: a forged mark acknowledges nothing and hides nothing', async () => {
      await start({ rules: null });
      await world.publish('t/victim', 'keep me');
      const [victim] = await world.storedCount(1);
      const accomplice = await world.subscriber('accomplice');
      await accomplice.subscribe('t/18');
      const properties = { userProperties: { 'offline-msgid': victim!.id, 'offline-sig': 'A'.repeat(43) } };
      await world.publish('t/18', 'forged', { properties }, 'attacker');
      await accomplice.receives(1);
      await world.quiet();
      // The forged message itself was stored as any other, and removed by its own ack.
      expect((await world.stored()).map(({ id }) => id)).toEqual([victim!.id]);
    });

    // A bug that EMQX's own changelogs list. The guard is RunReader.withoutRetained.
    it('leaves the retained message to EMQX, which delivers it itself', async () => {
      await start();
      await world.publish('t/r', 'older', { retain: true });
      await world.publish('t/r', 'retained', { retain: true });
      await world.publish('t/r', 'plain');
      await world.storedCount(3);
      const subscriber = await world.subscriber('r');
      // Nothing is acknowledged before our deliveries are out: the ack of EMQX's own copy would hide that we sent it too.
      let open = (): void => undefined;
      const gate = new Promise<void>((resolve) => (open = resolve));
      subscriber.client.handleMessage = (_packet, done) => void gate.then(() => done());
      await subscriber.subscribe('t/r');
      await world.quiet();
      open();
      await world.storedCount(0);
      const published = world.emqx.rest.publishes.map((entry) => Buffer.from(String(entry['payload']), 'base64').toString());
      expect(published).toEqual(['older', 'plain']);
      expect(subscriber.texts.sort()).toEqual(['older', 'plain', 'retained']);
    });

    // Promise 14. The guards: the retry of the same job (Workers.process) and the release of the leases in Sender.publish.
    it('14: with EMQX away nothing is lost, order is kept, and it goes on by itself', async () => {
      await start();
      const texts = Array.from({ length: 40 }, (_, i) => `m${i}`);
      for (const text of texts) await world.publish('t/14', text);
      await world.storedCount(40);
      world.emqx.rest.outage = 503;
      const subscriber = await world.subscriber('c14');
      await subscriber.subscribe('t/14');
      const ready = await fetch(`${world.server.url}/readyz`);
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain('EMQX');
      expect(subscriber.texts).toEqual([]);
      world.emqx.rest.outage = null;
      expect(await subscriber.receives(40)).toEqual(texts);
      await world.storedCount(0);
      expect(subscriber.texts).toHaveLength(40);
    });

    // Promise 10. The guard is the window in Sender.sendRun: sent at once, the session's queue of 100 drops the oldest.
    it('10: a client gets no more than its window at a time, and all of it', async () => {
      await start({ env: { POLICIES: JSON.stringify([{ filter: '#', window: 20 }]) }, limits: { inflight: 10, queue: 15 } });
      const texts = Array.from({ length: 150 }, (_, i) => `m${i}`);
      const at = Date.now();
      await post(texts.map((text, i) => publishEvent({ topic: 't/10', id: newId(), payload: Buffer.from(text), publishReceivedAt: at - 1_000 + i })));
      await world.storedCount(150);
      const subscriber = await world.subscriber('c10');
      await subscriber.subscribe('t/10');
      expect(await subscriber.receives(150)).toEqual(texts);
      await world.storedCount(0);
      expect(world.emqx.dropped()).toEqual([]);
    });

    // Promise 16. The guard is Sender.settle.
    it('16: a QoS 0 subscriber gets a message once, not at every subscription', async () => {
      await start();
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

    it('keeps what a client did not acknowledge and sends it when it comes back', async () => {
      await start();
      for (const text of ['a', 'b', 'c']) await world.publish('t/back', text);
      await world.storedCount(3);
      const first = await world.subscriber('back');
      first.client.handleMessage = () => undefined;
      await first.subscribe('t/back');
      await first.receives(1);
      await world.quiet();
      first.client.end(true);
      await waitFor('the end of its session', () => !world.emqx.broker.sessions.has('back'));
      const again = await world.subscriber('back');
      await again.subscribe('t/back');
      expect(await again.receives(3)).toEqual(['a', 'b', 'c']);
      await world.storedCount(0);
    });
  });
}
