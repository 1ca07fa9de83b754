import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { pacing } from './pacing';

pacing('on the embedded default', () => ({}), 1_000);

withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
  let store = '';
  beforeAll(async () => {
    store = await emptyDatabase(postgres, 'offline_pacing');
  });
  pacing('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: `${redis}/8` }), 20_000);
});
