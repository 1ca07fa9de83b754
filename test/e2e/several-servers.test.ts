import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { World } from './world';

/** Several servers on one queue and store. The guards: one job of a lane at a time (Lanes.prepare), windows and leases in the shared state. */
describe('several servers', () => {
  withBackends(['postgres', 'redis', 'redis-cluster'], ({ postgres, redis, ...urls }) => {
    it.each(['redis', 'redis-cluster', 'postgres'] as const)('promise 6: on one queue (%s) keep the order, repeat nothing, and one may go', async (kind) => {
      const queue = { redis: `${redis}/6`, 'redis-cluster': urls['redis-cluster'], postgres: await emptyDatabase(postgres, 'offline_several_queue') }[kind];
      const world = await World.start({ env: { STORE_URL: await emptyDatabase(postgres, `offline_several_${kind.replace('-', '_')}`), QUEUE_URL: queue } });
      const others = [await world.startAnother(), await world.startAnother()];
      const texts = Array.from({ length: 300 }, (_, i) => `m${i}`);
      for (const text of texts.slice(0, 150)) await world.publish('t/1', text);
      // One goes in the middle; the others take over what it had.
      const gone = others.pop()?.stop();
      for (const text of texts.slice(150)) await world.publish('t/1', text);
      await gone;
      await world.storedCount(300);
      const subscriber = await world.subscriber('several');
      await subscriber.subscribe('t/1');
      expect(await subscriber.receives(300)).toEqual(texts);
      await world.storedCount(0);
      await world.quiet();
      expect(subscriber.texts).toHaveLength(300);
      await Promise.all(others.map((server) => server.stop()));
      await world.stop();
    });
  });
});
