import { temporaryDirectory } from '../support/temp';
import { World, type WorldOptions } from './world';

/** The way of a message from a publisher to a subscriber that was not there, on one choice of queue and store. */
export function mainFlow(name: string, env: () => Record<string, string>): void {
  describe(`a message nobody was there for, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (options: WorldOptions = {}) => {
      world = await World.start({ ...options, env: { DATA_DIR: directory.path, ...env(), ...options.env } });
      await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
      return world;
    };
    afterEach(async () => {
      expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
      await world.stop();
    });
    afterAll(() => directory.remove());

    it('is stored, delivered when somebody subscribes, and removed when acknowledged', async () => {
      await start();
      await world.publish('t/1', 'hello');
      await world.storedCount(1);
      const subscriber = await world.subscriber('c1');
      await subscriber.subscribe('t/1');
      expect(await subscriber.receives(1)).toEqual(['hello']);
      await world.storedCount(0);
      expect(subscriber.texts).toEqual(['hello']);
    });

    it.each(['t/1', 't/+', '#', '$share/g/t/1', '$share/g/#'])('reaches a subscriber of %s (promise 15)', async (filter) => {
      await start();
      await world.publish('t/1', 'hello');
      await world.storedCount(1);
      const subscriber = await world.subscriber('c1');
      await subscriber.subscribe(filter);
      expect(await subscriber.receives(1)).toEqual(['hello']);
      await world.storedCount(0);
    });

    it('is delivered on demand by POST /v1/deliveries', async () => {
      await start();
      await world.publish('t/1', 'asked for');
      await world.storedCount(1);
      const subscriber = await world.subscriber('asking');
      // Subscribed without an event, as before the rule was imported.
      world.emqx.broker.sessions.get('asking')!.subscriptions.set('t/1', 1);
      const answer = await fetch(`${world.server.url}/v1/deliveries`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ clientid: 'asking', topic: 't/+' }),
      });
      expect(answer.status).toBe(202);
      expect(await subscriber.receives(1)).toEqual(['asked for']);
      await world.storedCount(0);
    });

    it('survives a restart of the server', async () => {
      await start();
      await world.publish('t/1', 'hello');
      await world.storedCount(1);
      await world.restartServer();
      const subscriber = await world.subscriber('c1');
      await subscriber.subscribe('t/1');
      expect(await subscriber.receives(1)).toEqual(['hello']);
      await world.storedCount(0);
    });

    // EMQX's plugin: "different subscribers".
    it('goes to the first new subscriber and not to the second', async () => {
      await start();
      await world.publish('t/1', 'once');
      await world.storedCount(1);
      const first = await world.subscriber('c1');
      await first.subscribe('t/1');
      await first.receives(1);
      await world.storedCount(0);
      await first.disconnect();
      const second = await world.subscriber('c2');
      await second.subscribe('t/1');
      await world.quiet();
      expect(second.texts).toEqual([]);
    });

    // EMQX's plugin: "message order". Promise 6; the guard is ORDER BY msgid in the store.
    it('comes in order with all others of its topic, none twice', async () => {
      await start();
      const texts = Array.from({ length: 200 }, (_, i) => `m${i}`);
      for (const text of texts) await world.publish('t/1', text);
      await world.storedCount(200);
      const subscriber = await world.subscriber('c1');
      await subscriber.subscribe('t/1');
      expect(await subscriber.receives(200)).toEqual(texts);
      await world.storedCount(0);
      expect(subscriber.received).toHaveLength(200);
    });

    // EMQX's plugin: "cleanup".
    it('leaves nothing behind after receipt and unsubscribe', async () => {
      await start({ rules: ['full'] });
      const subscriber = await world.subscriber('cleanup');
      await world.publish('t/1', 'hello');
      await subscriber.subscribe('t/1');
      await subscriber.receives(1);
      await subscriber.client.unsubscribeAsync('t/1');
      await world.storedCount(0);
    });

    // EMQX's plugin: "subscription persistence".
    it('reaches a client that reconnects without subscribing, once', async () => {
      await start({ rules: ['full'] });
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
    it('comes once when broker and client both restore the subscription', async () => {
      await start({ rules: ['full'] });
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

    // Promise 9. Two guards, either of which is enough here: the window's inFlight and the lease (both in Sender.sendPage).
    it('comes once in a storm of subscriptions', async () => {
      await start();
      await world.publish('t/1', 'hello');
      await world.publish('t/1', 'again');
      await world.storedCount(2);
      const acknowledge = new AbortController();
      const subscriber = await world.subscriber('c1');
      // The client keeps its acknowledgements until all subscriptions are worked on.
      const gate = new Promise<void>((resolve) => acknowledge.signal.addEventListener('abort', () => resolve()));
      subscriber.client.handleMessage = (_packet, done) => void gate.then(() => done());
      for (const filter of ['t/1', 't/#', 't/1', '#']) await subscriber.subscribe(filter);
      await world.quiet();
      acknowledge.abort();
      await world.storedCount(0);
      const published = world.emqx.rest.publishes.map((entry) => Buffer.from(String(entry['payload']), 'base64').toString());
      expect(published).toEqual(['hello', 'again']);
    });

    // Ten workers of an application start at once. The guard is the lease (Sender.sendPage).
    it('comes once to a shared group whose members subscribe together', async () => {
      await start();
      for (let i = 0; i < 20; i++) await world.publish('t/1', `m${i}`);
      await world.storedCount(20);
      const members = await Promise.all(Array.from({ length: 8 }, (_, i) => world.subscriber(`member-${i}`)));
      await Promise.all(members.map((member) => member.subscribe('$share/g/t/1')));
      await world.storedCount(0);
      await world.quiet();
      const all = members.flatMap(({ texts }) => texts);
      expect(all).toHaveLength(20);
      expect(new Set(all).size).toBe(20);
    });
  });
}
