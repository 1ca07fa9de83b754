import { expectAnswer, installRedis, redisCli, startRedis } from './redis-server';
import { HOST, PORTS, type Service } from './service';

const PORT = PORTS + 379;

export const redis: Service = {
  name: 'redis',
  variables: { TEST_REDIS_URL: `redis://${HOST}:${PORT}` },
  install: installRedis,
  start: () => startRedis({ service: 'redis', port: PORT }),
  check: () => expectAnswer(redisCli(PORT, 'PING'), 'PONG'),
};
