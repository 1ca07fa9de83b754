import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { SettingError } from '../base/errors';
import { tlsOf, type TlsOptions } from '../config/tls';
import { checkParams, type ServiceUrl } from '../config/url';
import { explain, NodeError } from './explain';
import { Sentinels } from './sentinel';

export type RedisConnection = Redis | Cluster;

export interface RedisClientOptions {
  readonly maxRetriesPerRequest?: number | null;
  readonly enableOfflineQueue?: boolean;
  /** In ms. */
  readonly commandTimeout?: number;
  /**
   * In ms. A connection on which nothing arrives for this long while commands wait is closed and made anew.
   * commandTimeout alone would keep it open.
   */
  readonly socketTimeout?: number;
}

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;

const PARAMS = ['tls', 'ca'];
/** The login at the sentinels, if it differs from the data nodes' login. */
const SENTINEL_PARAMS = ['sentinelUser', 'sentinelPassword'];

/**
 * @param more parameters that the caller uses itself.
 * @throws SettingError
 */
export function checkRedisUrl(url: ServiceUrl, setting: string, more: readonly string[] = []): void {
  checkParams(url, setting, [...PARAMS, ...(url.scheme === 'redis+sentinel' ? SENTINEL_PARAMS : []), ...more]);
  if (url.params['sentinelUser'] !== undefined && url.params['sentinelPassword'] === undefined) {
    throw new SettingError(setting, 'has sentinelUser= without sentinelPassword=');
  }
}

/**
 * After a failover the old primary is a replica, and a connection to it stays open where one name leads to whichever
 * server is the primary. A new connection leads to the new one. The command fails, and its caller repeats it. In a
 * cluster the old primary names the new one.
 */
const reconnectOnError = (error: Error): boolean => /\bREADONLY\b/.test(error.message);

/**
 * A client for `redis://`, `rediss://`, `redis+cluster://h1,h2` or `redis+sentinel://h1,h2/master`. `?ca=FILE` verifies
 * TLS with your own CA. `?tls=true` turns TLS on for cluster and sentinel. The path of redis:// is the database number.
 * @param setting the setting that errors name.
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
      return new Redis({
        ...{ ...common, reconnectOnError, ...sentinelOptions(url, tls, options) },
        ...{ sentinels: hosts(DEFAULT_SENTINEL_PORT), name: url.path },
      });
    default:
      return new Redis({ ...common, reconnectOnError, ...hosts(DEFAULT_PORT)[0], db: url.path === '' ? 0 : Number(url.path) });
  }
}

type SentinelOptions = Pick<
  RedisOptions,
  'sentinelCommandTimeout' | 'enableTLSForSentinelMode' | 'sentinelTLS' | 'Connector' | 'sentinelUsername' | 'sentinelPassword'
>;

/**
 * ioredis encrypts connections to the sentinels only with `sentinelTLS`, and the connection to the master only with
 * `enableTLSForSentinelMode`.
 */
function sentinelOptions({ params }: ServiceUrl, tls: TlsOptions | null, { socketTimeout }: RedisClientOptions): SentinelOptions {
  const { sentinelUser, sentinelPassword } = params;
  return {
    // Without a time limit, a sentinel that does not answer would keep the next one from being asked.
    ...(socketTimeout !== undefined && { sentinelCommandTimeout: socketTimeout }),
    ...(tls !== null && { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    Connector: Sentinels,
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(sentinelUser !== undefined && { sentinelUsername: sentinelUser }),
  };
}

function cluster(hosts: { host: string; port: number }[], options: RedisClientOptions & { readonly tls?: TlsOptions }): Cluster {
  const { enableOfflineQueue = true, ...redisOptions } = options;
  return new Cluster(hosts, { redisOptions, enableOfflineQueue, ...(options.tls !== undefined && { dnsLookup: keepName }) });
}

/**
 * ioredis would look up the host's address and connect to that. A certificate contains the host's name, so the name is
 * kept.
 */
function keepName(host: string, callback: (error: null, address: string) => void): void {
  callback(null, host);
}

/** @param listener is called with each error of the client, and of the nodes of a cluster. */
export function onTrouble(client: RedisConnection, listener: (error: Error) => void): void {
  client.on('error', listener);
  client.on('node error', (error: Error, node: string) => listener(new NodeError(error, node)));
}

/**
 * Resolves once the client is connected. After `timeoutMs` it throws the connection's last error, explained, or an
 * error that says that there is no answer.
 */
export function connected(client: RedisConnection, timeoutMs: number): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  let trouble = new Error(`no answer within ${timeoutMs / 1000} s`);
  const listen = (error: Error): void => void (trouble = new Error(explain(error, null), { cause: error }));
  const listenToNode = (error: Error, node: string): void => listen(new NodeError(error, node));
  client.on('error', listen).on('node error', listenToNode);
  return new Promise<void>((resolve, reject) => {
    const done = (finish: () => void) => (): void => {
      clearTimeout(timer);
      client.off('ready', ready).off('error', listen).off('node error', listenToNode);
      finish();
    };
    const ready = done(resolve);
    const timer = setTimeout(
      done(() => reject(trouble)),
      timeoutMs,
    );
    client.once('ready', ready);
  });
}
