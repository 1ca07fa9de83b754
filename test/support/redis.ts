import { Cluster, type Redis } from 'ioredis';
import { parseServiceUrl, type ServiceUrl } from '../../src/config/url';
import { connectRedis, type RedisConnection } from '../../src/redis/connect';

const SCHEMES = ['redis', 'rediss', 'redis+cluster', 'redis+sentinel'];

/** The URL with these parameters added. */
export function redisUrl(server: string, params: Record<string, string> = {}): ServiceUrl {
  const query = new URLSearchParams(params).toString();
  return parseServiceUrl(query === '' ? server : `${server}${server.includes('?') ? '&' : '?'}${query}`, SCHEMES);
}

/** Every key that begins with the prefix, on every master. */
export async function keysOf(redis: RedisConnection, prefix: string): Promise<string[]> {
  const masters: Redis[] = redis instanceof Cluster ? redis.nodes('master') : [redis];
  return (await Promise.all(masters.map((master) => master.keys(`${prefix}:*`)))).flat().sort();
}

export async function withRedis<T>(server: string, work: (redis: RedisConnection) => Promise<T>): Promise<T> {
  const redis = connectRedis(redisUrl(server), 'TEST', {});
  // A cluster knows its masters only then.
  await redis.ping();
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** For a queue: what a run that was killed has left there would be worked on by the next. */
export function emptyRedis(url: string): Promise<void> {
  return withRedis(url, async (redis) => void (await redis.flushdb()));
}

export function removeKeys(server: string, prefix: string): Promise<void> {
  return withRedis(server, async (redis) => {
    for (const key of await keysOf(redis, prefix)) await redis.del(key);
  });
}
