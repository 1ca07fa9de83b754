import { prepareDirectory, startProcess, type Service } from './service';

const PORT = 18379;

/** Debian's redis-server, durable and without eviction, as a queue needs it. */
export const redis: Service = {
  name: 'redis',
  variables: { TEST_REDIS_URL: `redis://127.0.0.1:${PORT}` },
  async start(directory) {
    const data = prepareDirectory(directory, 'redis');
    const args = ['--port', String(PORT), '--bind', '127.0.0.1', '--dir', data, '--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
    await startProcess(directory, { name: 'redis', command: 'redis-server', args, port: PORT });
  },
};
