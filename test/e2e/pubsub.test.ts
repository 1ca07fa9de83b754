import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { pubsub } from './pubsub';

pubsub('on the embedded default', () => ({}));

describe('with real servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(postgres, 'offline_e2e_pubsub');
    });

    pubsub('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: `${redis}/9` }));
  });
});
