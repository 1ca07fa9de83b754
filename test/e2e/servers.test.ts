import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { mainFlow } from './main-flow';
import { onOneServer } from './stage';
import { EVERYWHERE } from './suites';

/** Queues other than the embedded one and a single Redis (on-store.ts), and a Redis Cluster (redis-cluster.test.ts). */
describe('the end-to-end suites with the queue in', () => {
  withBackends(['postgres', 'redis-sentinel', 'redis-tls', 'redis-sentinel-tls', 'redis-cluster-tls'], (urls) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(urls.postgres, 'offline_e2e');
    });

    onOneServer('postgres', () => ({ STORE_URL: store, QUEUE_URL: store }), EVERYWHERE, 'short');
    onOneServer('Redis Sentinel', () => ({ STORE_URL: store, QUEUE_URL: urls['redis-sentinel'] }), [mainFlow], 'short');
    onOneServer('Redis with TLS', () => ({ STORE_URL: store, QUEUE_URL: urls['redis-tls'] }), [mainFlow], 'short');
    onOneServer(
      'Redis Sentinel with TLS and a password',
      () => ({ STORE_URL: store, QUEUE_URL: urls['redis-sentinel-tls'] }),
      [mainFlow],
      'short',
    );
    onOneServer(
      'Redis Cluster with TLS, a password and names',
      () => ({ STORE_URL: store, QUEUE_URL: urls['redis-cluster-tls'] }),
      [mainFlow],
      'short',
    );
  });
});
