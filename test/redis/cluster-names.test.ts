import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseServiceUrl } from '../../src/config/url';
import { RedisQueue } from '../../src/lanes/redis';
import { RedisStore } from '../../src/stores/redis';
import { answeredHealth } from '../support/health';
import { bulk, FakeRedis, list, type Answers } from './fake-redis';

const fixture = (name: string): string => join(__dirname, '../fixtures/tls', name);
/** For the name localhost, not for its address. */
const TLS = { cert: readFileSync(fixture('named.pem')), key: readFileSync(fixture('named.key.pem')) };

/** One node that has all slots, and announces `host`. */
const nodeOf =
  (host: string, port: () => number): Answers =>
  ([name, what]) => {
    switch (`${name} ${what}`.toLowerCase()) {
      case 'cluster slots':
        return list(list(':0\r\n', ':16383\r\n', list(bulk(host), `:${port()}\r\n`, bulk('id'))));
      case 'cluster info':
        return bulk('cluster_state:ok\r\n');
      default:
        return name?.toLowerCase() === 'info' ? bulk('redis_version:7.9.9\r\nrole:master\r\nloading:0\r\n') : '';
    }
  };

async function healthOf(announced: string, port?: number): Promise<string[]> {
  const node: FakeRedis = await FakeRedis.start(
    nodeOf(announced, () => port ?? node.port),
    TLS,
  );
  const url = parseServiceUrl(`redis+cluster://:pw@localhost:${node.port}?ca=${encodeURIComponent(fixture('named.pem'))}`, [
    'redis+cluster',
  ]);
  const users = [new RedisStore(url), new RedisQueue({ url, onError: () => undefined })];
  const healths = await Promise.all(users.map(answeredHealth));
  await Promise.all(users.map((user) => user.close()));
  await node.stop();
  return healths.map(({ detail }) => detail);
}

// The guard is keepName of redis/connect.ts: without it the client connects to 127.0.0.1, which the certificate does not have.
it('a Redis Cluster client connects to nodes by name and verifies the name', async () => {
  const [store, queue] = await healthOf('localhost');
  expect(store).not.toMatch(/trust|certificate|connect/);
  expect(queue).toBe('Redis 7.9.9');
});

it('a Redis Cluster client gives advice when certificates lack the announced addresses', async () => {
  for (const detail of await healthOf('127.0.0.1')) {
    expect(detail).toMatch(
      /certificate of the node 127\.0\.0\.1:\d+ is for another name .*set cluster-announce-hostname and cluster-preferred-endpoint-type hostname/,
    );
  }
});

it('a Redis Cluster client names an announced address that is unreachable', async () => {
  const [detail] = await healthOf('127.0.0.1', 1);
  expect(detail).toMatch(/cannot connect to the node 127\.0\.0\.1:1 .*ECONNREFUSED.*cluster-announce-ip/);
});
