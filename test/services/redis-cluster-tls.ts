import { join } from 'node:path';
import { expectAnswer, installRedis, redisCli, SILENCE_MS, startRedis } from './redis-server';
import { HOST, PORTS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'redis-cluster-tls';
const NODES = [PORTS + 394, PORTS + 395, PORTS + 396] as const;
/** The nodes talk to each other on a second port. */
const BUS = 10;
const LOAD_TIMEOUT_MS = 60_000;
const PASSWORD = 's3cret';
const fixture = (name: string): string => join(__dirname, '../fixtures/tls', name);
/** For the name localhost only: a client that connects by address can't verify it. */
const CERTIFICATE = fixture('named.pem');
const LOGIN = ['--tls', '--cacert', CERTIFICATE, '--no-auth-warning', '-a', PASSWORD];

/** Three masters: TLS only, a password, and certificates that have a name and no address. */
export const redisClusterTls: Service = {
  name: NAME,
  variables: { TEST_REDIS_CLUSTER_TLS_URL: `redis+cluster://:${PASSWORD}@localhost:${NODES[0]}?ca=${encodeURIComponent(CERTIFICATE)}` },
  install: installRedis,
  async start() {
    await Promise.all(NODES.map(startNode));
    const info = await eventually(LOAD_TIMEOUT_MS, () => redisCli(NODES[0], ...LOGIN, 'CLUSTER', 'INFO'));
    const addresses = NODES.map((port) => `${HOST}:${port}`);
    if (info.includes('cluster_slots_assigned:0')) await redisCli(NODES[0], ...LOGIN, '--cluster', 'create', ...addresses, '--cluster-yes');
    await eventually(LOAD_TIMEOUT_MS, isWhole);
  },
  check: isWhole,
};

function startNode(port: number): Promise<void> {
  const options = {
    ...{
      port: '0',
      'tls-port': String(port),
      'tls-cluster': 'yes',
      'tls-replication': 'yes',
      'tls-auth-clients': 'no',
      requirepass: PASSWORD,
    },
    ...{ 'tls-cert-file': CERTIFICATE, 'tls-key-file': fixture('named.key.pem'), 'tls-ca-cert-file': CERTIFICATE },
    ...{ 'cluster-enabled': 'yes', 'cluster-port': String(port + BUS), 'cluster-node-timeout': String(SILENCE_MS) },
    ...{ 'cluster-announce-hostname': 'localhost', 'cluster-preferred-endpoint-type': 'hostname' },
  };
  return startRedis({
    service: NAME,
    name: `node-${port}`,
    port,
    args: Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
  });
}

/** Every node must know it: a client may ask any. */
async function isWhole(): Promise<void> {
  await Promise.all(NODES.map((port) => expectAnswer(redisCli(port, ...LOGIN, 'CLUSTER', 'INFO'), /cluster_state:ok/)));
}
