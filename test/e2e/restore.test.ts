import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { restoring } from './restore';

restoring('on the embedded default', () => ({}));

withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  let store = '';
  beforeAll(async () => {
    store = await emptyDatabase(postgres, 'offline_restore');
  });
  restoring('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: `${redis}/9` }));
});
