import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis } from '../support/redis';
import { restoring } from './restore';

restoring('on the embedded default', () => ({}));

withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  const queue = `${redis}/9`;
  let store = '';
  beforeAll(async () => {
    await emptyRedis(queue);
    store = await emptyDatabase(postgres, 'offline_restore');
  });
  restoring('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: queue }));
});
