import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { mainFlow } from './main-flow';
import { severalServers } from './several';
import { onOneServer } from './stage';

/** A Redis Cluster has one database and so one queue: all tests with a queue there are in this file, one after the other. */
describe('the end-to-end suites with the queue in', () => {
  withBackends(['postgres', 'redis-cluster'], ({ postgres, 'redis-cluster': cluster }) => {
    let store = '';
    beforeAll(async () => {
      store = await emptyDatabase(postgres, 'offline_e2e_cluster');
    });

    onOneServer('Redis Cluster', () => ({ STORE_URL: store, QUEUE_URL: cluster }), [mainFlow], 'short');

    it('Redis Cluster, promise 6: three servers deliver in order and once while one stops', () =>
      severalServers(postgres, 'redis_cluster', cluster));
  });
});
