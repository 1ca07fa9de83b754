import { execFileSync } from 'node:child_process';
import { prepareDirectory, startProcess, type Service } from './service';

const PORTS = [18391, 18392, 18393];
const NODES = PORTS.map((port) => `127.0.0.1:${port}`);

/** Three masters of Debian's redis-server. */
export const redisCluster: Service = {
  name: 'redis-cluster',
  variables: { TEST_REDIS_CLUSTER_URL: `redis+cluster://${NODES.join(',')}` },
  async start(directory) {
    await Promise.all(PORTS.map((port) => startNode(directory, port)));
    const [first] = PORTS;
    const info = execFileSync('redis-cli', ['-p', String(first), 'cluster', 'info'], { encoding: 'utf8' });
    if (!info.includes('cluster_known_nodes:3')) execFileSync('redis-cli', ['--cluster', 'create', ...NODES, '--cluster-yes'], { stdio: 'ignore' });
  },
};

function startNode(directory: string, port: number): Promise<void> {
  const name = `redis-cluster-${port}`;
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
  const durable = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', prepareDirectory(directory, name), ...cluster, ...durable];
  return startProcess(directory, { name, command: 'redis-server', args, port });
}
