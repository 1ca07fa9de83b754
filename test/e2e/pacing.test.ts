import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis } from '../support/redis';
import { pacing } from './pacing';

/** By the clock, and with many messages: on one choice of servers. Windows, QoS 0 and drops in short are in promises.ts and limits.ts, on every store. */
withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  const queue = `${redis}/8`;
  let store = '';
  beforeAll(async () => {
    await emptyRedis(queue);
    store = await emptyDatabase(postgres, 'offline_pacing');
  });
  pacing('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: queue }), 8_000);
});
