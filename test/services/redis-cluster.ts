import { expectAnswer, installRedis, redisCli, SILENCE_MS, startRedis } from './redis-server';
import { HOST, PORTS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'redis-cluster';
const NODES = [PORTS + 381, PORTS + 382, PORTS + 383] as const;
/** The nodes talk to each other on a second port. */
const BUS = 10;
const LOAD_TIMEOUT_MS = 60_000;
const ADDRESSES = NODES.map((port) => `${HOST}:${port}`);

/** Three masters without replicas. */
export const redisCluster: Service = {
  name: NAME,
  variables: { TEST_REDIS_CLUSTER_URL: `redis+cluster://${ADDRESSES.join(',')}` },
  install: installRedis,
  async start() {
    await Promise.all(NODES.map(startNode));
    // A node that comes back with data refuses to answer until it has read them.
    const info = await eventually(LOAD_TIMEOUT_MS, () => redisCli(NODES[0], 'CLUSTER', 'INFO'));
    if (info.includes('cluster_slots_assigned:0')) await redisCli(NODES[0], '--cluster', 'create', ...ADDRESSES, '--cluster-yes');
    await eventually(LOAD_TIMEOUT_MS, isWhole);
  },
  check: isWhole,
};

function startNode(port: number): Promise<void> {
  const args = ['--cluster-enabled', 'yes', '--cluster-port', String(port + BUS), '--cluster-node-timeout', String(SILENCE_MS)];
  return startRedis({ service: NAME, name: `node-${port}`, port, args });
}

/** Every node must know it: a client may ask any. */
async function isWhole(): Promise<void> {
  await Promise.all(NODES.map((port) => expectAnswer(redisCli(port, 'CLUSTER', 'INFO'), /cluster_state:ok/)));
}
