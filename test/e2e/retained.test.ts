import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { retained } from './retained';

retained('on the embedded default', () => ({}));

describe('with real servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(postgres, 'offline_e2e_retained');
    });
    retained('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: `${redis}/8` }));
  });
});
