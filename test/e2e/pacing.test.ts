import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis, redisOf } from '../support/redis';
import { pacing } from './pacing';

/**
 * These tests use real time and many messages, so they run on one store and queue. promises.ts and limits.ts test
 * windows and QoS 0 on every store.
 */
withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  const queue = redisOf('e2e/pacing', redis);
  let store = '';
  beforeAll(async () => {
    await emptyRedis(queue);
    store = await emptyDatabase(postgres, 'offline_pacing');
  });
  pacing('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: queue }), 8_000);
});
