import { withBackends } from '../support/backends';
import { EMPTY_STORES, type EmptyStore, type StoreName } from '../support/empty-store';
import { emptyRedis, redisOf } from '../support/redis';
import { onOneServer } from './stage';
import { EVERYWHERE } from './suites';

/**
 * One of SQL, one of another kind; on the embedded default it is whole, too. The others have each promise, and what
 * each theme is about.
 */
const WHOLE = new Set<StoreName>(['postgres', 'redis']);

type TestFile = 'stores-sql' | 'stores-mysql' | 'stores-redis' | 'stores-documents' | 'stores-clickhouse';

/** Which test file has which store. */
const FILES = {
  postgres: 'stores-sql',
  timescale: 'stores-sql',
  mysql: 'stores-mysql',
  mariadb: 'stores-mysql',
  redis: 'stores-redis',
  'redis-cluster': 'stores-redis',
  'redis-sentinel': 'stores-redis',
  mongodb: 'stores-documents',
  cassandra: 'stores-documents',
  dynamodb: 'stores-documents',
  clickhouse: 'stores-clickhouse',
  'clickhouse-current': 'stores-clickhouse',
} as const satisfies Record<StoreName, TestFile>;

/**
 * All of it on every kind of store, with the queue in Redis. What runs elsewhere, as it is not about the store and takes long:
 * - the embedded default, and other queues: embedded.test.ts, servers.test.ts, redis-cluster.test.ts
 * - thousands of messages, slow clients and what waits by the clock: pacing.test.ts, restore.test.ts, on PostgreSQL
 * - a client with 510 subscriptions: clients-many.test.ts; pages of that size are in the stores' contract, too
 * - kill -9 (promise 1), and store or queue away (promise 14): test/server/process.test.ts, outage.test.ts, and each driver's own tests
 * - what a database refuses for its content (promise 13): each driver's own tests, as each refuses something else
 */
export function onStoresOf(file: TestFile): void {
  const stores = (Object.keys(EMPTY_STORES) as StoreName[]).filter((name) => FILES[name] === file);
  describe.each(stores)('store %s', (name) => {
    withBackends([name, 'redis'], (urls) => {
      const queue = redisOf(`e2e/${file}`, urls.redis);
      let store: EmptyStore;
      beforeAll(async () => {
        // It remembers windows, and what is due later: of another store's clients.
        await emptyRedis(queue);
        store = await EMPTY_STORES[name](urls[name], `offline_e2e_${process.pid}`);
      }, 120_000);
      afterAll(() => store.drop(), 120_000);

      onOneServer('queue redis', () => ({ STORE_URL: store.url, QUEUE_URL: queue }), EVERYWHERE, WHOLE.has(name) ? 'whole' : 'short');
    });
  });
}
