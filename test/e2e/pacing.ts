import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../src/mqtt/message';
import { publishEvent } from '../support/events';
import { newId } from '../support/messages';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type Subscriber, type WorldOptions } from './world';

/** The timeout on a busy machine. */
const PATIENCE_MS = 120_000;

/**
 * Many messages, slow clients, and times by the clock. The stores' part in it is to read page by page, which
 * main-flow.ts shows on each; these take too long for all of them. Each has a server of its own, as they differ in the
 * broker's limits and the number of its connections.
 */
export function pacing(name: string, env: () => Record<string, string>, many: number): void {
  describe(`the pace of deliveries, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (policy: object = {}, options: WorldOptions = {}) => {
      const settings = { DATA_DIR: directory.path, POLICIES: JSON.stringify([{ filter: '#', ...policy }]), ...env() };
      world = await World.start({ ...options, env: settings });
      await world.request('DELETE', '/v1/messages?filter=%23');
    };
    /** Stores messages without a publisher: in batches, their time a second ago. */
    const store = async (topic: string, count: number, fields: Partial<Message> = {}) => {
      const texts = Array.from({ length: count }, (_, i) => `m${i}`);
      const publishReceivedAt = Date.now() - 1_000;
      const events = texts.map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text), publishReceivedAt, ...fields }));
      for (let i = 0; i < count; i += 500) {
        await world.post(events.slice(i, i + 500));
      }
      await waitFor('the writes', async () => (await world.metric('messages_stored_total')) === count, PATIENCE_MS);
      return texts;
    };
    /** A client that takes `count` messages, each after a moment, and then no more. */
    const slow = (subscriber: Subscriber, count = Infinity) => {
      const taken: string[] = [];
      subscriber.client.handleMessage = (packet, done) => {
        if (taken.length >= count) return;
        taken.push(packet.payload.toString());
        // A moment for each, a longer one now and then.
        if (taken.length % 10 === 0) setTimeout(done, 1);
        else setImmediate(done);
      };
      return taken;
    };
    const ackedBy = (clientid: string) =>
      world.emqx.events.filter((event) => event.event === 'message.acked' && event['clientid'] === clientid).length;
    afterEach(() => world.stop());
    afterAll(() => directory.remove());

    // The guard is the window: if all were sent at once, EMQX's queue of 1,000 would drop the oldest.
    it(
      `promise 10: ${many} messages reach a slow client once and in order, over two connections`,
      async () => {
        await start({}, { connections: 32 });
        const texts = await store('t/many', many);
        const first = await world.subscriber('slow');
        const taken = slow(first, many / 2);
        await first.subscribe('t/many');
        await waitFor('half of them', () => taken.length === many / 2 && ackedBy('slow') === many / 2, PATIENCE_MS);
        await world.quiet();
        first.client.end(true);
        await waitFor('the end of its session', () => !world.emqx.broker.sessions.has('slow'));
        expect(taken).toEqual(texts.slice(0, many / 2));

        const second = await world.subscriber('slow');
        const rest = slow(second);
        await second.subscribe('t/many');
        await waitFor('the rest', () => rest.length >= many / 2, PATIENCE_MS);
        await world.storedCount(0);
        expect(rest).toEqual(texts.slice(many / 2));
        expect(world.emqx.dropped()).toEqual([]);
      },
      2 * PATIENCE_MS,
    );

    // The guard is routeDropped with the source in rules/emqx5/full.json: without either the run stops at what was dropped.
    it('promise 10: messages that EMQX drops are sent again as the client acknowledges others', async () => {
      await start({}, { rules: ['full'], limits: { inflight: 5, queue: 20 }, connections: 32 });
      const texts = await store('t/dropped', 300);
      const subscriber = await world.subscriber('dropping');
      const taken = slow(subscriber);
      await subscriber.subscribe('t/dropped');
      await world.storedCount(0);
      expect(world.emqx.dropped().length).toBeGreaterThan(0);
      expect([...taken].sort()).toEqual([...texts].sort());
      expect(await world.metric('deliveries_dropped_total{reason="queue_full"')).toBe(world.emqx.dropped().length);
    });

    // The guard is the pause between two batches.
    it('promise 10: a QoS 0 subscriber is sent messages at a limited rate', async () => {
      await start();
      const texts = await store('t/burst', 2_000);
      const subscriber = await world.subscriber('burst');
      const counts: number[] = [];
      const sampled = (async () => {
        while (subscriber.received.length < texts.length) {
          counts.push(world.emqx.rest.publishes.length);
          await sleep(50);
        }
      })();
      await subscriber.subscribe('t/burst', 0);
      expect(await subscriber.receives(texts.length)).toEqual(texts);
      await sampled;
      // Two batches may fall between two samples.
      expect(Math.max(...counts.slice(1).map((count, i) => count - (counts[i] ?? 0)))).toBeLessThanOrEqual(200);
      await world.storedCount(0);
      await world.quiet();
      expect(subscriber.received).toHaveLength(texts.length);
    });

    // On every store the look after the grace is made due (promises.ts): this one waits for it.
    it('promise 5: a message whose event arrives after the subscription is delivered after 10 s', async () => {
      await start();
      const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
      await world.publish('t/grace', 'late');
      const subscriber = await world.subscriber('grace');
      const subscribed = Date.now();
      await subscriber.subscribe('t/grace');
      await world.quiet();
      held.release();
      expect(await subscriber.receives(1)).toEqual(['late']);
      expect(Date.now() - subscribed).toBeGreaterThanOrEqual(9_900);
      await world.storedCount(0);
    });

    // "Without clean start" and a slow consumer. The guard is isHeld.
    it('promise 9: a persistent session that resumes and subscribes gets each message once', async () => {
      await start({ window: 20 }, { limits: { inflight: 5 } });
      const texts = await store('t/resume', 60);
      const persistent = { clean: false, protocolVersion: 4 as const };
      const before = await world.subscriber('resume', persistent);
      const taken = slow(before, 7);
      await before.subscribe('t/resume');
      await waitFor('seven', () => taken.length === 7 && ackedBy('resume') === 7);
      await world.quiet();
      before.client.end(true);
      await waitFor('the end of the connection', () => world.emqx.broker.sessions.get('resume')?.outlet === null);
      // An earlier version took copies for lost that were sent more than 2 s before the subscription.
      await sleep(2_500);
      const again = await world.subscriber('resume', persistent);
      await again.subscribe('t/resume');
      await world.storedCount(0);
      expect([...taken, ...again.texts]).toEqual(texts);
    });
  });
}
