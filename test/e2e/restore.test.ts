import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis, redisOf } from '../support/redis';
import { restoring } from './restore';

/** These tests wait in real time, so they run on one store and queue only. retained.ts has the others, which run on every store. */
withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  const queue = redisOf('e2e/restore', redis);
  let store = '';
  beforeAll(async () => {
    await emptyRedis(queue);
    store = await emptyDatabase(postgres, 'offline_restore');
  });
  restoring('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: queue }));
});
