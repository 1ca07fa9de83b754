import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { Proxy } from '../support/proxy';
import { emptyRedis, redisOf } from '../support/redis';
import { waitFor } from '../support/wait';
import { World } from './world';

/** Real servers that go away and come back. The guards: Workers.process retries the same job; 503 while the queue is away. */
describe('outages', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    let world: World;
    let store: Proxy;
    let queue: Proxy;
    const texts = Array.from({ length: 60 }, (_, i) => `m${i}`);
    const onRedis = redisOf('e2e/outage', redis);
    beforeEach(() => emptyRedis(onRedis));

    const start = async (queueUrl: string, name: string) => {
      store = await Proxy.to(await emptyDatabase(postgres, `offline_outage_${name}`));
      queue = await Proxy.to(queueUrl);
      world = await World.start({ env: { STORE_URL: store.url, QUEUE_URL: queue.url } });
    };
    const receiveAll = async () => {
      const subscriber = await world.subscriber('outage');
      await subscriber.subscribe('t/1');
      expect(await subscriber.receives(texts.length)).toEqual(texts);
      await world.storedCount(0);
      expect(subscriber.texts).toHaveLength(texts.length);
    };
    const publishAll = async (from: number, to: number) => {
      for (const text of texts.slice(from, to)) await world.publish('t/1', text);
    };

    afterEach(async () => {
      store.restore();
      queue.restore();
      expect(world.emqx.action.lost).toEqual([]);
      await world.stop();
      await Promise.all([store.close(), queue.close()]);
    });

    it('promise 14: events are accepted while the store is down, and stored in order afterwards', async () => {
      await start(onRedis, 'store');
      await publishAll(0, 20);
      await world.storedCount(20);
      store.cut();
      await publishAll(20, 60);
      await waitFor('all events to be accepted', () => world.emqx.action.pending === 0);
      expect((await fetch(`${world.server.url}/readyz`)).status).toBe(503);
      store.restore();
      await world.storedCount(60);
      await receiveAll();
    });

    it.each([
      ['redis', onRedis],
      ['postgres', postgres],
    ])('promise 14: EMQX gets 503 and keeps the events while the queue (%s) is down', async (name, url) => {
      await start(name === 'postgres' ? await emptyDatabase(url, 'offline_outage_queue') : url, name);
      await publishAll(0, 20);
      await world.storedCount(20);
      queue.cut();
      await publishAll(20, 60);
      await waitFor('a 503', () => world.emqx.action.statuses.includes(503));
      queue.restore();
      await world.storedCount(60);
      await receiveAll();
    });
  });
});
