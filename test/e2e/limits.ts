import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../src/offline/message';
import { publishEvent } from '../support/events';
import { newId } from '../support/messages';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type Subscriber, type WorldOptions } from './world';

/** For a machine that does much else. */
const PATIENCE_MS = 120_000;

/** Pacing, limits and expiry (promises 10, 12, 16) with real MQTT clients. */
export function limits(name: string, env: () => Record<string, string>, many: number): void {
  describe(`limits, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (policy: object = {}, options: WorldOptions = {}) => {
      const settings = { DATA_DIR: directory.path, POLICIES: JSON.stringify([{ filter: '#', ...policy }]), ...env() };
      world = await World.start({ ...options, env: settings });
      await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
    };
    /** Stores messages without a publisher: in batches, their time a second ago. */
    const store = async (topic: string, count: number, fields: Partial<Message> = {}) => {
      const texts = Array.from({ length: count }, (_, i) => `m${i}`);
      const publishReceivedAt = Date.now() - 1_000;
      const events = texts.map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text), publishReceivedAt, ...fields }));
      for (let i = 0; i < count; i += 500) {
        const body = JSON.stringify(events.slice(i, i + 500));
        const answer = await fetch(`${world.server.url}/v1/events`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
        expect(answer.status).toBe(202);
      }
      await waitFor('the writes', async () => (await metric('messages_stored_total')) === count, PATIENCE_MS);
      return texts;
    };
    const metric = async (metricName: string) => {
      const lines = (await (await fetch(`${world.server.url}/metrics`)).text()).split('\n').filter((line) => line.startsWith(`emqx_offline_${metricName}`));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
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
    const ackedBy = (clientid: string) => world.emqx.events.filter((event) => event.event === 'message.acked' && event['clientid'] === clientid).length;
    afterEach(() => world.stop());
    afterAll(() => directory.remove());

    // Promise 10. The guard is the window in Sender.sendRun; sent at once, EMQX's queue of 1,000 drops the oldest.
    it(`10: ${many} messages reach a slow client that leaves in the middle, each once, in order, none dropped`, async () => {
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
    }, 2 * PATIENCE_MS);

    // The guard is routeDropped with the source in rules/emqx5/full.json: without either the run stops at what was dropped.
    it('10: what EMQX drops all the same comes again as the client takes others', async () => {
      await start({}, { rules: ['full'], limits: { inflight: 5, queue: 20 }, connections: 32 });
      const texts = await store('t/dropped', 300);
      const subscriber = await world.subscriber('dropping');
      const taken = slow(subscriber);
      await subscriber.subscribe('t/dropped');
      await world.storedCount(0);
      expect(world.emqx.dropped().length).toBeGreaterThan(0);
      expect([...taken].sort()).toEqual([...texts].sort());
      expect(await metric('deliveries_dropped_total{reason="queue_full"')).toBe(world.emqx.dropped().length);
    });

    // The guard is Pace in Sender.sendRun.
    it('10: a QoS 0 subscriber is not flooded', async () => {
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

    it('12: what has expired is neither delivered nor shown, the rest with the time that remains', async () => {
      await start({ ttl: '1h' });
      const at = Date.now() - 100_000;
      const expiring = (seconds: number) => ({ publishReceivedAt: at, properties: { messageExpiryInterval: seconds } });
      await store('t/12', 1, expiring(300));
      const post = (fields: Partial<Message>) =>
        fetch(`${world.server.url}/v1/events`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(publishEvent({ topic: 't/12', id: newId(), ...fields })),
        });
      await post(expiring(50));
      await post({ publishReceivedAt: Date.now() - 3_700_000 });
      await world.quiet();
      expect(await world.stored()).toHaveLength(1);
      const subscriber = await world.subscriber('c12', { protocolVersion: 5 });
      await subscriber.subscribe('t/12');
      await subscriber.receives(1);
      const left = subscriber.received[0]?.properties?.messageExpiryInterval ?? 0;
      expect(left).toBeGreaterThan(150);
      expect(left).toBeLessThanOrEqual(200);
      await world.storedCount(0);
      expect(subscriber.received).toHaveLength(1);
    });

    // The guard is Trimmer.
    it('maxStored: the oldest of a topic go, and are counted', async () => {
      await start({ maxStored: 50 });
      await store('t/other', 40);
      for (let i = 0; i < 120; i++) await world.publish('t/trim', `m${i}`);
      await waitFor('the writes', async () => (await metric('messages_stored_total')) === 160);
      await world.quiet();
      const stored = (await world.stored('t/trim')).map(({ text }) => text);
      expect(stored.length).toBeLessThanOrEqual(55);
      expect(stored).toEqual(Array.from({ length: 120 }, (_, i) => `m${i}`).slice(-stored.length));
      expect(stored.length).toBeGreaterThanOrEqual(50);
      expect(await world.stored('t/other')).toHaveLength(40);
      expect(await metric('messages_trimmed_total')).toBe(120 - stored.length);
    });

    it.each([
      [2, 2, 2],
      [2, 1, 1],
      [1, 2, 1],
    ] as const)('16: a QoS %i message reaches a QoS %i subscription at QoS %i, and its ack removes it', async (qos, subscription, delivered) => {
      await start();
      await world.publish('t/qos', 'x', { qos });
      await world.storedCount(1);
      const subscriber = await world.subscriber('qos');
      await subscriber.subscribe('t/qos', subscription);
      await subscriber.receives(1);
      await world.storedCount(0);
      expect(subscriber.received.map((packet) => packet.qos)).toEqual([delivered]);
    });

    it('16: QoS 0 is stored with storeQos0, kept with keep', async () => {
      await start({ storeQos0: true, qos0: 'keep' });
      await world.publish('t/keep', 'x', { qos: 0 });
      await world.storedCount(1);
      const subscriber = await world.subscriber('keep');
      await subscriber.subscribe('t/keep', 1);
      await subscriber.receives(1);
      await world.quiet();
      expect(await world.stored()).toHaveLength(1);
      expect(subscriber.received.map((packet) => packet.qos)).toEqual([0]);
    });

    // Promise 9: "without clean start" and a slow consumer. The guard is isHeld.
    it('9: a persistent session that resumes and subscribes at once gets each message once', async () => {
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
      // What was sent more than 2 s before the subscription used to be taken for lost.
      await sleep(2_500);
      const again = await world.subscriber('resume', persistent);
      await again.subscribe('t/resume');
      await world.storedCount(0);
      expect([...taken, ...again.texts]).toEqual(texts);
    });
  });
}
