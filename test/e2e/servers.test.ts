import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { mainFlow } from './main-flow';
import { promises } from './promises';

/** Real servers for queue and store; each choice has a database of its own. */
describe('with real servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(postgres, 'offline_e2e');
    });

    mainFlow('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: redis }));
    promises('store postgres, queue redis', () => ({ STORE_URL: store, QUEUE_URL: redis }));
    mainFlow('store postgres, queue postgres', () => ({ STORE_URL: store, QUEUE_URL: store }));
  });

  withBackends(['postgres', 'redis-cluster', 'redis-sentinel', 'redis-tls'], (urls) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(urls.postgres, 'offline_e2e_redis');
    });

    mainFlow('store postgres, queue Redis Cluster', () => ({ STORE_URL: store, QUEUE_URL: urls['redis-cluster'] }));
    mainFlow('store postgres, queue Redis Sentinel', () => ({ STORE_URL: store, QUEUE_URL: urls['redis-sentinel'] }));
    mainFlow('store postgres, queue Redis with TLS', () => ({ STORE_URL: store, QUEUE_URL: urls['redis-tls'] }));
  });
});
