import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { MysqlStore } from '../../src/stores/mysql';
import { PostgresStore } from '../../src/stores/postgres';
import { RedisStore } from '../../src/stores/redis';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { FaultyProxy } from '../support/faulty-proxy';
import { expectRecovery } from '../support/half-open';
import { emptyMongo, mongoStore } from '../support/mongo';
import { emptyMysql, mysqlUrl } from '../support/mysql';
import { proxiedCluster } from '../support/proxied-cluster';
import { redisUrl, removeKeys } from '../support/redis';

/** Long enough for an answer of a busy machine. */
const TIMEOUT_MS = 2_500;
const REDIS_TIMEOUTS = { commandMs: 3 * TIMEOUT_MS, socketMs: TIMEOUT_MS };

/** Promise 14: a firewall that forgot us, a failover, a load balancer that was replaced. */
describe('a store with half-open connections', () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** Through a proxy. `url`: of a database that may be used. The migration has no short timeouts. */
  async function proxied<S extends Store>(
    url: string,
    migrating: (url: string) => Store,
    open: (url: string) => S,
  ): Promise<{ proxy: FaultyProxy; store: S }> {
    const first = migrating(url);
    await first.migrate().finally(() => first.close());
    const target = new URL(url);
    const proxy = await FaultyProxy.to(target.hostname, Number(target.port));
    closers.push(() => proxy.close());
    const store = open(Object.assign(target, { port: String(proxy.address.port) }).href);
    closers.push(() => store.close());
    return { proxy, store };
  }

  // The guard: PooledConnections.drop.
  withBackends(['postgres'], ({ postgres: server }) => {
    it('works again after one timeout on PostgreSQL', async () => {
      const url = await emptyDatabase(server, 'offline_half_open');
      const { proxy, store } = await proxied(
        url,
        (connectionString) => new PostgresStore({ connectionString }),
        (connectionString) => new PostgresStore({ connectionString, query_timeout: TIMEOUT_MS }),
      );
      await expectRecovery(proxy, () => store.getMessage('absent'), TIMEOUT_MS);
    });
  });

  // The guard: PooledConnections.drop.
  withBackends(['mariadb'], ({ mariadb: server }) => {
    it('works again after one timeout on MariaDB', async () => {
      const url = (await emptyMysql(server, 'offline_half_open')).href();
      const { proxy, store } = await proxied(
        url,
        (direct) => new MysqlStore(mysqlUrl(direct)),
        (through) => new MysqlStore(mysqlUrl(through), { queryTimeoutMs: TIMEOUT_MS }),
      );
      await expectRecovery(proxy, () => store.getMessage('absent'), TIMEOUT_MS);
    });
  });

  // The guard: socketTimeout.
  withBackends(['redis'], ({ redis: server }) => {
    it('works again after one timeout on Redis', async () => {
      const prefix = `half-open-${process.pid}`;
      closers.push(() => removeKeys(server, prefix));
      const { proxy, store } = await proxied(
        server,
        (direct) => new RedisStore(redisUrl(direct, { prefix })),
        (through) => new RedisStore(redisUrl(through, { prefix }), REDIS_TIMEOUTS),
      );
      await expectRecovery(proxy, () => store.getMessage('absent'), TIMEOUT_MS);
    });
  });

  // The guard: socketTimeout, of each node.
  withBackends(['redis-cluster'], () => {
    it('works again after one timeout on Redis Cluster', async () => {
      const { url, proxy, close } = await proxiedCluster();
      closers.push(close);
      const store = new RedisStore(redisUrl(url), REDIS_TIMEOUTS);
      closers.push(() => store.close());
      await store.migrate();
      await expectRecovery(proxy, () => store.getMessage('absent'), TIMEOUT_MS);
    });
  });

  // The guard: sentinelCommandTimeout.
  withBackends(['redis-sentinel'], ({ 'redis-sentinel': server }) => {
    it('asks the next sentinel when one does not answer', async () => {
      const silent = createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      closers.push(() => silent.close());
      const { port } = silent.address() as AddressInfo;
      const store = new RedisStore(redisUrl(server.replace('//', `//127.0.0.1:${port},`)), REDIS_TIMEOUTS);
      closers.push(() => store.close());
      expect(await store.getMessage('absent')).toBeNull();
    });
  });

  // No guard of ours: each connection has its timeout, and the driver's monitor, whose own connection is silent too,
  // has all of them closed.
  withBackends(['mongodb'], ({ mongodb: server }) => {
    it('works again after a few timeouts on MongoDB', async () => {
      const url = await emptyMongo(server, 'offline_half_open');
      const { proxy, store } = await proxied(url, mongoStore, (through) =>
        mongoStore(`${through}?socketTimeoutMS=${TIMEOUT_MS}&connectTimeoutMS=${TIMEOUT_MS}&heartbeatFrequencyMS=500`),
      );
      await expectRecovery(proxy, () => store.getMessage('absent'), TIMEOUT_MS);
    });
  });
});
