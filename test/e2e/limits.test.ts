import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { limits } from './limits';

limits('on the embedded default', () => ({}), 1_000);

withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  let store = '';
  beforeAll(async () => {
    store = await emptyDatabase(postgres, 'offline_limits');
  });
  limits('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: `${redis}/8` }), 20_000);
});
