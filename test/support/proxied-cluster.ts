import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { stopService } from '../services/processes';
import { expectAnswer, redisCli, startRedis } from '../services/redis-server';
import { DIRECTORY, HOST } from '../services/service';
import { eventually } from '../services/wait';
import { FaultyProxy } from './faulty-proxy';
import { freePort } from './process';

const START_MS = 15_000;

/** A Redis Cluster of one node, which tells its clients the address of the proxy as its own. */
export async function proxiedCluster(): Promise<{ readonly url: string; readonly proxy: FaultyProxy; close(): Promise<void> }> {
  const service = `proxied-cluster-${process.pid}`;
  const port = await freePort();
  const proxy = await FaultyProxy.to(HOST, port);
  const announced = String(proxy.address.port);
  const args = [
    '--cluster-enabled',
    'yes',
    '--cluster-port',
    String(await freePort()),
    '--cluster-announce-ip',
    HOST,
    '--cluster-announce-port',
    announced,
  ];
  await startRedis({ service, port, args });
  await redisCli(port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await eventually(START_MS, () => expectAnswer(redisCli(port, 'CLUSTER', 'INFO'), /cluster_state:ok/));
  return {
    ...{ url: `redis+cluster://${HOST}:${announced}`, proxy },
    async close() {
      await proxy.close();
      await stopService(service, 'SIGKILL');
      rmSync(join(DIRECTORY, service), { recursive: true, force: true });
    },
  };
}
