import { Cluster, type Redis } from 'ioredis';
import { parseServiceUrl, type ServiceUrl } from '../../src/config/url';
import { connectRedis, type RedisConnection } from '../../src/redis/connect';

const SCHEMES = ['redis', 'rediss', 'redis+cluster', 'redis+sentinel'];

/**
 * The test files that have a database of the Redis server for themselves: Redis has 16. Test files run at the same time, and most of these
 * empty their database. Files that are not listed use database 0, which nobody empties, with names of their own.
 */
const OWNERS = [
  ...['e2e/stores-sql', 'e2e/stores-mysql', 'e2e/stores-redis', 'e2e/stores-documents', 'e2e/stores-clickhouse'],
  ...['e2e/outage', 'e2e/pacing', 'e2e/restore', 'e2e/several-servers'],
  ...['server/process', 'server/stop', 'server/dependency-log'],
  ...['dead-letters/letters', 'lanes/lanes', 'ops/doctor'],
] as const;

export type RedisOwner = (typeof OWNERS)[number];

/** The URL of the database that this test file has for itself. */
export const redisOf = (owner: RedisOwner, server: string): string => `${server}/${OWNERS.indexOf(owner) + 1}`;

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
