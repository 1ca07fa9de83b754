import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareDirectory, startProcess, type Service } from './service';

const MASTER = 18394;
const SENTINEL = 18395;

/** A master and a sentinel of Debian's redis packages: enough to be found through it. */
export const redisSentinel: Service = {
  name: 'redis-sentinel',
  variables: { TEST_REDIS_SENTINEL_URL: `redis+sentinel://127.0.0.1:${SENTINEL}/offline` },
  async start(directory) {
    const data = prepareDirectory(directory, 'redis-sentinel');
    const durable = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
    const args = ['--port', String(MASTER), '--bind', '127.0.0.1', '--dir', data, ...durable];
    await startProcess(directory, { name: 'redis-sentinel-master', command: 'redis-server', args, port: MASTER });
    // The sentinel writes what it learns into its configuration.
    const file = join(data, 'sentinel.conf');
    if (!existsSync(file)) writeFileSync(file, `port ${SENTINEL}\nbind 127.0.0.1\nsentinel monitor offline 127.0.0.1 ${MASTER} 1\n`);
    await startProcess(directory, { name: 'redis-sentinel', command: 'redis-server', args: [file, '--sentinel'], port: SENTINEL });
  },
};
