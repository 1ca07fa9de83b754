import { Cluster, Redis } from 'ioredis';
import { tlsOf } from '../config/tls';
import type { ServiceUrl } from '../config/url';

export type RedisConnection = Redis | Cluster;

export interface RedisClientOptions {
  readonly maxRetriesPerRequest?: number | null;
  readonly enableOfflineQueue?: boolean;
  /** ms */
  readonly commandTimeout?: number;
  /** ms; a connection from which nothing comes for so long while commands wait is given up, and made anew: commandTimeout keeps it. */
  readonly socketTimeout?: number;
}

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;

/**
 * A client for `redis://`, `rediss://`, `redis+cluster://h1,h2` or `redis+sentinel://h1,h2/master`. `?ca=FILE` verifies TLS with a CA of
 * your own, `?tls=true` turns TLS on for cluster and sentinel; the path of redis:// is the database number. `setting` is the one that
 * errors name.
 */
export function connectRedis(url: ServiceUrl, setting: string, options: RedisClientOptions): RedisConnection {
  const tls = tlsOf(url, setting) ?? (url.scheme === 'rediss' ? {} : null);
  const common = {
    ...options,
    ...(url.user !== null && { username: url.user }),
    ...(url.password !== null && { password: url.password }),
    ...(tls !== null && { tls }),
  };
  const hosts = (port: number) => url.hosts.map((each) => ({ host: each.host, port: each.port ?? port }));
  switch (url.scheme) {
    case 'redis+cluster':
      return cluster(hosts(DEFAULT_PORT), common);
    case 'redis+sentinel':
      // A sentinel that says nothing, or the next one would never be asked.
      return new Redis({ ...common, ...(options.socketTimeout !== undefined && { sentinelCommandTimeout: options.socketTimeout }), sentinels: hosts(DEFAULT_SENTINEL_PORT), name: url.path });
    default:
      return new Redis({ ...common, ...hosts(DEFAULT_PORT)[0], db: url.path === '' ? 0 : Number(url.path) });
  }
}

function cluster(hosts: { host: string; port: number }[], options: RedisClientOptions): Cluster {
  const { enableOfflineQueue = true, ...redisOptions } = options;
  return new Cluster(hosts, { redisOptions, enableOfflineQueue });
}

/** Resolves once it is connected. Throws the connection's last error, or says that there is no answer, after `timeoutMs`. */
export function connected(client: RedisConnection, timeoutMs: number): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  let trouble = new Error(`no answer within ${timeoutMs / 1000} s`);
  const listen = (error: Error): void => void (trouble = error);
  client.on('error', listen);
  return new Promise<void>((resolve, reject) => {
    const done = (finish: () => void) => (): void => {
      clearTimeout(timer);
      client.off('ready', ready).off('error', listen);
      finish();
    };
    const ready = done(resolve);
    const timer = setTimeout(done(() => reject(trouble)), timeoutMs);
    client.once('ready', ready);
  });
}
