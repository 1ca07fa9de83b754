import { RedisStore } from '../../src/stores/redis';
import { withBackends } from '../support/backends';
import { redisUrl, removeKeys } from '../support/redis';
import { conformance } from './conformance';

describe.each(['redis', 'redis-tls', 'redis-cluster', 'redis-sentinel'] as const)('%s', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const prefix = `conformance-${process.pid}`;
    const open = () => Promise.resolve(new RedisStore(redisUrl(server, { prefix })));
    afterAll(() => removeKeys(server, prefix), 60_000);

    conformance(`on ${name}`, { open });
  });
});
